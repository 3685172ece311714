"""Import paths of 0.1, until 2027-06-30: each gives the module at its new place, and a DeprecationWarning."""

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec

UNTIL = "2027-06-30"
PACKAGES = {"analysis"}  # that are no more; their modules are below
MOVED = {
    "analysis.backbone_candidates": "benchmarks.backbone_candidates",
    "analysis.backbone_check": "benchmarks.backbone_check",
    "analysis.benchmark_adapters": "benchmarks.adapters",
    "analysis.benchmark_backbones": "benchmarks.backbones",
    "analysis.benchmark_checkpoint": "benchmarks.checkpoint",
    "analysis.benchmark_copy_paste": "benchmarks.copy_paste",
    "analysis.benchmark_detectors": "benchmarks.detectors",
    "analysis.benchmark_evaluation": "benchmarks.evaluation",
    "analysis.benchmark_export": "benchmarks.export",
    "analysis.benchmark_frozen_forward": "benchmarks.forward_options",
    "analysis.benchmark_labelling": "benchmarks.labelling",
    "analysis.benchmark_mixing": "benchmarks.mixing",
    "analysis.benchmark_train_step": "benchmarks.devices.train_step",
    "analysis.boxed_images": "robustness.boxed_images",
    "analysis.chain": "workflows.chain",
    "analysis.classifier_runs": "reports.classifier_runs",
    "analysis.copy_paste_arms": "benchmarks.copy_paste_pipelines",
    "analysis.detector_batch": "benchmarks.detector_batch",
    "analysis.detector_check": "benchmarks.detector_check",
    "analysis.detectors_page": "benchmarks.detectors_page",
    "analysis.fixres_run": "upstream.fixres.run",
    "analysis.flop_count": "reports.flop_count",
    "analysis.inference": "inference.detector",
    "analysis.made_evaluation_sets": "benchmarks.synthetic_evaluation_sets",
    "analysis.model_description": "reports.describe",
    "analysis.noisy_student_page": "upstream.noisy_student.page",
    "analysis.noisy_student_pictures": "upstream.noisy_student.page",
    "analysis.object_size_study": "upstream.fixres.object_size",
    "analysis.one_pass": "reports.one_pass",
    "analysis.panoptic_maps": "inference.panoptic_maps",
    "analysis.pictures": "pages.pictures",
    "analysis.plots": "pages.plots",
    "analysis.predictions_file": "inference.predictions_file",
    "analysis.report": "reports.write",
    "analysis.report_arms": "reports.detection_comparison",
    "analysis.report_blocks": "pages.blocks",
    "analysis.report_classes": "reports.detection_by_class",
    "analysis.report_classifiers": "reports.classification",
    "analysis.report_content": "reports.detection",
    "analysis.report_evidence": "reports.evidence",
    "analysis.report_html": "pages.html",
    "analysis.report_images": "reports.detection_images",
    "analysis.report_markdown": "pages.markdown",
    "analysis.report_noise": "reports.seed_noise",
    "analysis.report_recipes": "reports.recipes",
    "analysis.report_statistics": "reports.statistics",
    "analysis.report_trade_offs": "reports.cost_tables",
    "analysis.report_words": "pages.words",
    "analysis.resolution_report": "upstream.fixres.page",
    "analysis.resolution_study": "upstream.fixres.resolution_sweep",
    "analysis.run_arms": "reports.groups",
    "analysis.run_record": "reports.run_record",
    "analysis.stages": "engine.runner.stages",
    "analysis.stock_detectors": "benchmarks.stock_detectors",
    "analysis.study_candidates": "robustness.candidates",
    "analysis.study_corruptions": "robustness.corruptions",
    "analysis.study_features": "robustness.features",
    "analysis.study_fgsm": "robustness.adversarial",
    "analysis.study_finetune": "robustness.finetune",
    "analysis.study_folders": "robustness.shifted_sets",
    "analysis.study_gradient_maps": "robustness.grad_cam",
    "analysis.study_numbers": "robustness.bootstrap",
    "analysis.study_occlusion": "robustness.occlusion",
    "analysis.study_ood": "robustness.ood",
    "analysis.study_page": "robustness.page",
    "analysis.study_ranking": "robustness.ranking",
    "analysis.study_run": "robustness.run",
    "analysis.study_transfer": "robustness.transfer",
    "analysis.study_wsol": "robustness.wsol",
    "analysis.sweep": "workflows.sweep",
    "analysis.train_stage": "engine.train_stage",
    "analysis.train_step": "benchmarks.measured_step",
    "analysis.wsol_protocols": "robustness.wsol_protocols",
    "atomic_write": "weights.atomic_write",
    "checkpoints": "weights.loading",
    "class_names": "weights.class_names",
    "cli.config_arguments": "cli.shared.config_arguments",
    "cli.faults": "host.faults",
    "cli.together": "cli.processes.together",
    "datasets.annotation_check": "datasets.readers.annotation_check",
    "datasets.boxed_masks": "datasets.transforms.cropped_masks",
    "datasets.class_names": "datasets.readers.class_names",
    "datasets.coco_trees": "datasets.readers.coco_trees",
    "datasets.conversion": "datasets.readers.conversion",
    "datasets.copy_paste": "datasets.transforms.copy_paste",
    "datasets.copy_paste_donors": "datasets.transforms.copy_paste_sources",
    "datasets.copy_paste_patches": "datasets.transforms.copy_paste_patches",
    "datasets.copy_paste_pictures": "datasets.visualization.copy_paste",
    "datasets.data_fraction": "datasets.samplers.data_fraction",
    "datasets.drawing": "datasets.visualization.drawing",
    "datasets.image_check": "datasets.images.check",
    "datasets.image_files": "datasets.images.files",
    "datasets.image_head": "datasets.images.head",
    "datasets.image_pixels": "datasets.images.pixels",
    "datasets.large_scale_jitter": "datasets.transforms.large_scale_jitter",
    "datasets.layout": "datasets.readers.folder_layout",
    "datasets.long_tail_samplers": "datasets.samplers.long_tail",
    "datasets.max_objects": "datasets.transforms.max_objects",
    "datasets.panoptic": "datasets.readers.panoptic",
    "datasets.polygons": "datasets.readers.polygons",
    "datasets.refusals": "datasets.readers.refusals",
    "datasets.seeding": "datasets.samplers.seeding",
    "datasets.segmentation_check": "datasets.readers.segmentation_check",
    "datasets.source_objects": "datasets.transforms.source_objects",
    "datasets.source_pixels": "datasets.transforms.source_pixels",
    "datasets.stations": "datasets.visualization.pipeline_trace",
    "datasets.toy_drawing": "datasets.toy.drawing",
    "datasets.toy_scenes": "datasets.toy.toy_scenes",
    "datasets.voc": "datasets.readers.voc",
    "datasets.voc_tree": "datasets.readers.voc_tree",
    "datasets.yolo": "datasets.readers.yolo",
    "datasets.yolo_tree": "datasets.readers.yolo_tree",
    "devices": "host.devices",
    "engine.atomic_files": "weights.atomic_files",
    "engine.averaged_base": "engine.hooks.averaged_base",
    "engine.checkpoint_forms": "weights.lean",
    "engine.checkpoint_match": "engine.hooks.checkpoint_match",
    "engine.detection_drawing": "datasets.visualization.detections",
    "engine.fraction_record": "engine.hooks.fraction_record",
    "engine.frozen_proof": "engine.hooks.frozen_proof",
    "engine.joined_data": "engine.runner.joined_data",
    "engine.kept_checkpoints": "weights.kept_checkpoints",
    "engine.label_classes": "engine.runner.label_classes",
    "engine.lean_checkpoint": "engine.hooks.lean_checkpoint",
    "engine.longer_schedule": "engine.runner.stretch_schedule",
    "engine.nan_guard": "engine.hooks.nan_guard",
    "engine.norm_statistics": "engine.hooks.norm_statistics",
    "engine.parameter_groups": "engine.optimizers.parameter_groups",
    "engine.processes": "host.processes",
    "engine.rate_scaling": "engine.optimizers.rate_scaling",
    "engine.replayed_schedule": "engine.runner.replayed_schedule",
    "engine.resuming": "engine.runner.resuming",
    "engine.run_check": "engine.runner.run_check",
    "engine.run_guard": "engine.runner.run_guard",
    "engine.run_lock": "engine.runner.run_lock",
    "engine.second_stage": "engine.hooks.second_stage",
    "engine.split_overlap": "engine.hooks.split_overlap",
    "engine.step_seed": "engine.hooks.step_seed",
    "engine.stored_settings": "engine.runner.stored_settings",
    "engine.unfreeze": "engine.hooks.unfreeze",
    "engine.validation_pictures": "engine.hooks.validation_pictures",
    "file_kinds": "weights.reading.file_kinds",
    "fingerprint": "weights.digest",
    "host_guard": "weights.host_guard",
    "host_state": "weights.mmengine_checkpoints",
    "known_extras": "weights.known_extras",
    "layouts": "weights.key_maps",
    "layouts.efficientnet": "weights.key_maps.efficientnet",
    "layouts.equivalents": "weights.key_maps.equivalents",
    "layouts.families": "weights.key_maps.families",
    "layouts.templates": "weights.key_maps.templates",
    "layouts.tensorflow_resnet": "weights.key_maps.tensorflow_resnet",
    "mmcv_ops": "host.mmcv_ops",
    "mmcv_ops.boxes": "host.mmcv_ops.boxes",
    "mmcv_ops.deformable": "host.mmcv_ops.deformable",
    "mmcv_ops.focal_loss": "host.mmcv_ops.focal_loss",
    "mmcv_ops.precision": "host.mmcv_ops.precision",
    "mmcv_ops.reassembly": "host.mmcv_ops.reassembly",
    "mmcv_ops.roi_pooling": "host.mmcv_ops.roi_pooling",
    "models.adapters.adapter": "models.adapters.base",
    "models.adapters.sites": "models.adapters.target_layers",
    "models.anchor_assigner": "models.task_modules.anchor_assigner",
    "models.any_size": "models.backbone_sources.input_size",
    "models.body_contract": "models.backbone_sources.base",
    "models.body_record": "models.backbones.settings_record",
    "models.box_coder": "models.task_modules.box_coder",
    "models.box_heads": "models.roi_heads.bbox_head",
    "models.cascade": "models.roi_heads.cascade_roi_head",
    "models.cifar_resnet": "models.backbone_sources.cifar_resnet",
    "models.class_balance": "models.losses.class_balanced_loss",
    "models.classifier_stage": "models.detectors.second_stage",
    "models.conv_neck": "models.necks.conv_neck",
    "models.conv_norm": "models.layers.conv_norm_act",
    "models.detector": "models.detectors.detector",
    "models.fill_classes": "models.detectors.fill_classes",
    "models.fill_heads": "models.detectors.fill_heads",
    "models.fill_input": "models.detectors.fill_input",
    "models.fill_neck": "models.detectors.fill_neck",
    "models.fill_roi_heads": "models.detectors.fill_roi_heads",
    "models.fpn": "models.necks.fpn",
    "models.freezing": "models.backbones.freezing",
    "models.frozen_backbone": "models.backbones.frozen_backbone",
    "models.frozen_forward": "models.backbones.forward_options",
    "models.frozen_norms": "models.backbones.bn_memory",
    "models.frozen_twin": "models.backbones.inference_copy",
    "models.huber": "models.losses.huber_loss",
    "models.mask_head": "models.roi_heads.mask_head",
    "models.mmdet_bodies": "models.backbone_sources.mmdet_models",
    "models.nas_fpn": "models.necks.nas_fpn",
    "models.norm_folding": "models.backbones.bn_folding",
    "models.plain_vit": "models.backbone_sources.plain_vit",
    "models.recompute": "models.layers.checkpointing",
    "models.resnet_rs": "models.backbone_sources.resnet_rs",
    "models.retina_head": "models.dense_heads.retina_head",
    "models.roi_extractor": "models.roi_heads.roi_extractor",
    "models.rpn": "models.dense_heads.rpn_head",
    "models.same_architecture": "models.backbone_sources.same_architecture",
    "models.shared_tower": "models.layers.shared_tower",
    "models.simple_pyramid": "models.necks.simple_pyramid",
    "models.swapping": "models.detectors.swapping",
    "models.sync_norms": "models.backbones.sync_bn",
    "models.timm_bodies": "models.backbone_sources.timm_features",
    "models.torchvision_bodies": "models.backbone_sources.torchvision_models",
    "models.trained_backbone": "models.detectors.trained_backbone",
    "models.typed_parts": "models.detectors.typed_parts",
    "models.weights": "models.backbone_sources.weights",
    "models.weights_origin": "models.backbone_sources.provenance",
    "models.wrapping": "models.detectors.wrapping",
    "ops.cropping": "upstream.transforms",
    "ops.joint_loss": "upstream.noisy_student.noisy_classifier",
    "ops.localization": "robustness.localization",
    "ops.object_size": "upstream.fixres.object_size_math",
    "ops.torch_versions": "host.torch_versions",
    "ops.uncertainty": "robustness.uncertainty",
    "pickled_arrays": "weights.reading.pickled_arrays",
    "pickled_tensors": "weights.reading.pickled_tensors",
    "pickled_values": "weights.reading.pickled_values",
    "recorded_config": "weights.reading.recorded_config",
    "safe_pickle": "weights.reading.safe_pickle",
    "signatures": "host.signatures",
    "tensor_checks": "weights.tensor_checks",
    "tensor_files": "weights.reading.tensor_files",
    "trusted_conversion": "weights.unsafe_pickle",
    "upstream.agreement": "upstream.noisy_student.agreement",
    "upstream.averages": "engine.hooks.averages",
    "upstream.collation": "upstream.datasets",
    "upstream.description": "reports.describe_classifier",
    "upstream.fixres_config": "upstream.fixres.config",
    "upstream.fixres_transform": "upstream.fixres.transform",
    "upstream.joint_batches": "upstream.noisy_student.joint_batches",
    "upstream.label_parts": "upstream.noisy_student.label_files",
    "upstream.labelled_split": "upstream.noisy_student.labelled_split",
    "upstream.labelling": "upstream.noisy_student.labelling",
    "upstream.manifest_records": "upstream.noisy_student.manifest",
    "upstream.metrics": "upstream.metric",
    "upstream.mixing": "upstream.batch_mixing",
    "upstream.network_noise": "upstream.noisy_student.network_noise",
    "upstream.networks": "models.backbone_sources.build",
    "upstream.noisy_classifier": "upstream.noisy_student.noisy_classifier",
    "upstream.noisy_student_labels": "upstream.noisy_student.label_stages",
    "upstream.optimisers": "engine.optimizers.lamb",
    "upstream.pool": "upstream.noisy_student.pool",
    "upstream.pseudo_labelled": "upstream.noisy_student.pseudo_labelled",
    "upstream.resolution": "upstream.fixres.resolution",
    "upstream.rmsprop_tf": "engine.optimizers.rmsprop_tf",
    "upstream.selection": "upstream.noisy_student.selection",
    "upstream.small_image_transforms": "upstream.transforms",
    "upstream.square_transforms": "upstream.transforms",
    "upstream.stage_layers": "upstream.batch_mixing",
    "upstream.student_config": "upstream.noisy_student.loop_config",
    "upstream.student_noise": "upstream.noisy_student.augmentation",
    "upstream.warm_up_cosine": "engine.optimizers.warm_up_cosine",
    "upstream.warm_up_step": "engine.optimizers.warm_up_step",
    "weight_names": "weights.key_fitting",
    "weights_card": "weights.card",
    "whole_checkpoint": "weights.whole_checkpoint",
}


class _Finder:  # importlib.abc takes twice as long to import as all of this
    """Asked first, as a moved package still finds its modules under the old name, and would load them twice."""

    def find_spec(self, name, path=None, target=None):
        """The standard's signature."""
        package, _, own = name.partition(".")
        if package != "frozen_det" or own not in MOVED and own not in PACKAGES:
            return None
        return ModuleSpec(name, _Loader(), is_package=own in PACKAGES)


class _Loader:
    """Puts the moved module in place of the one that was requested."""

    def create_module(self, spec):
        """An ordinary one, replaced below."""
        return

    def exec_module(self, module):
        """The standard's signature."""
        own = module.__name__.partition(".")[2]
        if own in PACKAGES:
            return
        new = f"frozen_det.{MOVED[own]}"
        warnings.warn(
            f"{module.__name__} is {new} now; the old path goes after {UNTIL}.", DeprecationWarning, stacklevel=2
        )
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Let old import paths be found. Safe to call many times."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def former(old: str, new: str):
    """A package's ``__getattr__`` for what a module of the same name had in 0.1.

    Args:
        old: the package.
        new: the module that has it now.
    """

    def __getattr__(name):
        if name.startswith("__"):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        try:
            found = getattr(importlib.import_module(new), name)
        except AttributeError:
            raise AttributeError(f"module {old!r} has no attribute {name!r}") from None
        warnings.warn(
            f"{old}.{name} is {new}.{name} now; the old path goes after {UNTIL}.", DeprecationWarning, stacklevel=2
        )
        return found

    return __getattr__

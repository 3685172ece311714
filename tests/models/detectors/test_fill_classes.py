"""The number of classes reaches every part that classifies, and no other."""

import json

import pytest

from frozen_det.errors import InputError
from frozen_det.models.detectors.fill_classes import Classes, count_classes, fill_classes


def filled(classes, **parts):
    fill_classes(parts, classes)
    return parts


def test_every_head_that_classifies_gets_the_number_of_classes():
    cfg = filled(
        Classes(3),
        bbox_head=dict(type="DINOHead", num_classes=80),
        mask_head=dict(type="YOLACTProtonet"),
        roi_head=dict(
            type="PointRendRoIHead",
            bbox_head=[dict(type="DIIHead")] * 2,
            point_head=dict(type="MaskPointHead"),
            mask_iou_head=dict(type="MaskIoUHead"),
            glbctx_head=dict(type="GlobalContextHead"),
        ),
    )
    roi_head = cfg["roi_head"]
    heads = [
        cfg["bbox_head"],
        cfg["mask_head"],
        *roi_head["bbox_head"],
        *(roi_head[key] for key in ("point_head", "mask_iou_head", "glbctx_head")),
    ]
    assert [head["num_classes"] for head in heads] == [3] * 7


def test_proposals_and_semantic_maps_keep_their_own_classes():
    cfg = filled(
        Classes(3),
        rpn_head=dict(type="CascadeRPNHead", stages=[dict(type="StageCascadeRPNHead")]),
        bbox_head=dict(type="GARPNHead"),
        roi_head=dict(type="HybridTaskCascadeRoIHead", semantic_head=dict(type="FusedSemanticHead")),
    )
    assert "num_classes" not in json.dumps(cfg)


def test_a_loss_that_counts_classes_follows_and_one_that_does_not_need_it_is_left():
    cfg = filled(
        Classes(3),
        roi_head=dict(
            type="StandardRoIHead",
            bbox_head=dict(
                type="Shared2FCBBoxHead",
                loss_cls=dict(type="SeesawLoss", num_classes=1203),
                loss_more=dict(type="CrossEntropyCustomLoss"),
            ),
        ),
    )
    head = cfg["roi_head"]["bbox_head"]
    assert head["loss_cls"]["num_classes"] == 3 and head["loss_more"] == dict(type="CrossEntropyCustomLoss")


def test_things_and_stuff_of_a_panoptic_head_and_the_weights_written_out_for_them():
    weights = dict(type="CrossEntropyLoss", class_weight=[1.0] * 133 + [0.1])
    head = dict(type="Mask2FormerHead", num_things_classes=80, num_stuff_classes=53, loss_cls=weights)
    fusion = dict(type="MaskFormerFusionHead", num_things_classes=80, num_stuff_classes=53)
    cfg = filled(Classes(2, 1), panoptic_head=dict(head), panoptic_fusion_head=dict(fusion))
    for part in cfg.values():
        assert (part["num_things_classes"], part["num_stuff_classes"]) == (2, 1)
    assert cfg["panoptic_head"]["loss_cls"]["class_weight"] == [1.0, 1.0, 1.0, 0.1]
    assert weights["class_weight"] == [1.0] * 133 + [0.1]
    cfg = filled(Classes(2), panoptic_head=dict(head))  # the number of stuff classes is not given
    assert cfg["panoptic_head"]["num_stuff_classes"] == 53
    assert len(cfg["panoptic_head"]["loss_cls"]["class_weight"]) == 2 + 53 + 1


def test_weights_that_differ_between_classes_are_the_users():
    loss = dict(type="CrossEntropyLoss", class_weight=[1.0, 2.0, 0.1])
    cfg = filled(Classes(3), bbox_head=dict(type="DETRHead", num_classes=2, loss_cls=dict(loss)))
    assert cfg["bbox_head"]["loss_cls"] == loss


def test_a_teacher_and_unset_values_are_unchanged():
    teacher = dict(type="LADHead", num_classes=80)
    assert filled(Classes(3), teacher_bbox_head=dict(teacher)) == dict(teacher_bbox_head=teacher)
    assert filled(Classes(), bbox_head=dict(teacher)) == dict(bbox_head=teacher)


def test_a_panoptic_file_counts_things_and_stuff_and_one_of_instances_things_alone(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"categories": [{"id": i, "name": f"{i}", "isthing": i % 2} for i in (1, 2, 3)]}))
    assert count_classes(None, None, str(path)) == Classes(2, 1)
    path.write_text(json.dumps({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}))
    assert count_classes(None, None, str(path)) == Classes(2, None)
    with pytest.raises(InputError, match="got both"):
        count_classes(None, 4, str(path))
    assert count_classes(5, 4, None) == Classes(5, 4)

"""frozen_det.Detector: values are filled in from backbone and annotations; contradictions are refused."""

import copy
import json

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from frozen_det.config import find_config
from frozen_det.errors import InputError
from frozen_det.models import fill_blanks


@pytest.fixture()
def detector():
    """The quickstart's detector config, on random weights."""
    cfg = Config.fromfile(str(find_config("quickstart"))).model.detector.to_dict()
    cfg["backbone"]["weights"] = "random"
    return cfg


def _stock(name):
    """The model config of a stock mmdet config file."""
    import mmdet

    return Config.fromfile(f"{mmdet.__path__[0]}/.mim/configs/{name}").model.to_dict()


def test_channels_strides_rule_input_and_classes_are_filled(detector):
    cfg = fill_blanks(detector, num_classes=7)
    assert cfg["neck"]["in_channels"] == [24, 40, 112, 320]
    assert cfg["rpn_head"]["anchor_generator"]["strides"] == [4, 8, 16, 32, 64]
    extractor = cfg["roi_head"]["bbox_roi_extractor"]
    assert (extractor["featmap_strides"], extractor["finest_scale"], extractor["out_channels"]) == (
        [4, 8, 16, 32, 64],
        56,
        64,
    )
    assert cfg["roi_head"]["bbox_head"]["num_classes"] == 7
    assert "num_classes" not in cfg["rpn_head"]
    assert cfg["data_preprocessor"]["mean"] == [127.5] * 3 and cfg["data_preprocessor"]["bgr_to_rgb"] is True
    assert cfg["data_preprocessor"]["pad_size_divisor"] == 32


def test_from_stride_8_on_the_level_rule_is_the_authors(detector):
    detector["backbone"]["strides"] = (8, 16, 32)
    detector["neck"]["num_outs"] = 5
    extractor = fill_blanks(detector)["roi_head"]["bbox_roi_extractor"]
    assert extractor["featmap_strides"] == [8, 16, 32, 64, 128] and extractor["finest_scale"] == 112


def test_the_result_is_the_plain_mmdet_detector_with_mmdets_keys(detector):
    from mmdet.models import FasterRCNN

    model = MODELS.build(dict(type="frozen_det.Detector", detector=detector, num_classes=3))
    assert type(model) is FasterRCNN
    keys = model.state_dict()
    assert "backbone.body.conv_stem.weight" in keys and "roi_head.bbox_head.fc_cls.weight" in keys
    assert keys["roi_head.bbox_head.fc_cls.weight"].shape[0] == 4


def test_mmdets_own_heads_pool_in_float32_and_choose_the_best_candidates(detector):
    from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

    from frozen_det.models.layers.best_candidates import predict_single
    from frozen_det.models.roi_heads.roi_extractor import SingleRoIExtractor as InFloat32

    assert detector["roi_head"]["bbox_head"]["type"] == "Shared2FCBBoxHead"
    assert detector["roi_head"]["bbox_roi_extractor"]["type"] == "SingleRoIExtractor"
    roi_head = MODELS.build(dict(type="frozen_det.Detector", detector=detector, num_classes=3)).roi_head
    assert type(roi_head.bbox_head) is Shared2FCBBoxHead
    assert roi_head.bbox_head._predict_by_feat_single.__func__ is predict_single
    assert type(roi_head.bbox_roi_extractor) is InFloat32 and issubclass(InFloat32, SingleRoIExtractor)


def test_the_config_given_is_not_changed(detector):
    before = copy.deepcopy(detector)
    fill_blanks(detector, num_classes=7)
    assert detector == before


def test_classes_come_from_an_annotation_file(detector, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"categories": [{"id": 3, "name": "x"}, {"id": 9, "name": "y"}]}))
    assert fill_blanks(detector, classes_from=str(path))["roi_head"]["bbox_head"]["num_classes"] == 2
    with pytest.raises(InputError, match="both"):
        fill_blanks(detector, num_classes=2, classes_from=str(path))
    with pytest.raises(InputError, match="does not exist"):
        fill_blanks(detector, classes_from=str(tmp_path / "b.json"))
    path.write_text("{}")
    with pytest.raises(InputError, match="categories"):
        fill_blanks(detector, classes_from=str(path))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("neck", "in_channels"), [1, 2, 3, 4], r"neck.in_channels is \[1, 2, 3, 4\], but the backbone gives"),
        (("rpn_head", "anchor_generator", "strides"), [8, 16], r"anchor_generator.strides is \[8, 16\], expected"),
        (("rpn_head", "in_channels"), 5, "rpn_head.in_channels is 5, expected 64"),
        (("roi_head", "bbox_roi_extractor", "featmap_strides"), [2], "featmap_strides is"),
        (("data_preprocessor",), dict(type="DetDataPreprocessor", mean=[1, 2, 3]), "weights were trained with"),
    ],
)
def test_a_value_that_contradicts_the_backbone_is_refused(detector, where, value, message):
    node = detector
    for key in where[:-1]:
        node = node[key]
    node[where[-1]] = value
    with pytest.raises(InputError, match=message):
        fill_blanks(detector)


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
        "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
        "retinanet/retinanet_r50_fpn_1x_coco.py",
    ],
)
def test_a_stock_config_becomes_frozen_by_wrapping_its_model(name):
    stock = _stock(name)
    cfg = fill_blanks(stock, num_classes=4)
    assert cfg["backbone"]["type"] == "frozen_det.FrozenBackbone"
    assert cfg["backbone"]["weights"] == "torchvision://resnet50"
    cfg["backbone"]["weights"] = "random"
    model = MODELS.build(dict(type="frozen_det.Detector", detector=cfg, num_classes=4))
    assert not any(p.requires_grad for p in model.backbone.parameters())
    heads = model.bbox_head if "retinanet" in name else model.roi_head.bbox_head
    for head in heads if hasattr(heads, "__len__") else [heads]:
        assert head.num_classes == 4


def test_a_caffe_backbone_keeps_its_own_mean_and_channel_order():
    stock = _stock("faster_rcnn/faster-rcnn_r50-caffe_fpn_1x_coco.py")
    cfg = fill_blanks(stock)
    assert cfg["data_preprocessor"]["mean"] == [103.530, 116.280, 123.675]
    assert cfg["data_preprocessor"]["bgr_to_rgb"] is False


def test_a_detector_without_a_backbone_is_refused():
    with pytest.raises(InputError, match="expected `backbone`"):
        fill_blanks(dict(type="FasterRCNN"))

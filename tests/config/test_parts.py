"""The configs that a chain or a loop will run are checked with their options before the first stage."""

import pytest

from frozen_det.config.parts import check_parts, flat
from frozen_det.errors import InputError

from .conftest import with_options

CHAIN, LOOP = "chain/train-fixres-cifarresnet20_faster-rcnn-fpn_bccd", "noisy_student/resnet20_cifar10"


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        (CHAIN, "upstream.options.data_rot=x", "upstream in .*no key 'data_rot'; did you mean 'data_root'"),
        (CHAIN, "detector.options.train_cfg.max_epoch=3", "detector in .*did you mean 'max_epochs'"),
        (CHAIN, "detector.config=detection/nowhere", "detector in .*there is no 'detection/nowhere'"),
        (LOOP, "rounds.1.options.train_cfg.max_epochs=0", "whole number from 1 on for rounds.1"),
        (LOOP, "teacher.options.train_dataloader.batch_size=two", "whole number from 1 on for teacher"),
        (
            LOOP,
            "guards=[dict(type='frozen_det.ImageFolder', data_root='a', splt='val')]",
            "guards.0 has the key 'splt'",
        ),
    ],
)
def test_a_wrong_option_of_any_stage_is_found_before_the_first(name, option, words):
    with pytest.raises(InputError, match=words) as raised:
        check_parts(with_options(name, option))
    assert "\n" not in str(raised.value)


def test_options_for_the_parts_pass():
    cfg = with_options(CHAIN, "upstream.options.data_root=a", "detector.options.train_cfg.max_epochs=2")
    check_parts(cfg)
    assert (cfg.upstream.options.data_root, cfg.detector.options.train_cfg.max_epochs) == ("a", 2)


def test_nested_options_become_dotted_ones():
    assert dict(flat({"a": {"b": 1, "c": {"type": "X"}, "d": {}}, "e": [1]})) == {
        "a.b": 1,
        "a.c": {"type": "X"},
        "a.d": {},
        "e": [1],
    }

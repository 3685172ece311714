"""Options of the frozen forward pass: the same features within tolerance, without changing the weights."""

import copy
import pickle

import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.host.torch_versions import TORCH
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbones import inference_copy as frozen_twin
from frozen_det.models.backbones.bn_folding import Pair, foldable
from frozen_det.models.backbones.forward_options import ForwardSwitches
from frozen_det.models.backbones.inference_copy import relative_difference

RESNET = dict(type="timm", name="test_resnet")
VIT = dict(type="timm", name="test_vit")
ALL = dict(memory_format="channels_last", autocast="bfloat16", fold_norms=True, compile=dict(backend="eager"))
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def lively(backbone: FrozenBackbone, seed: int = 0) -> FrozenBackbone:
    """Give the norms non-trivial parameters; after construction they are nearly identities."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in backbone.body.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for tensor, low, high in (
                    (norm.running_mean, -0.3, 0.3),
                    (norm.running_var, 0.5, 2),
                    (norm.weight, 0.5, 1.5),
                    (norm.bias, -0.3, 0.3),
                ):
                    tensor.uniform_(low, high, generator=generator)
    return backbone


def pair(switches: dict, body: dict = RESNET, **options) -> tuple[FrozenBackbone, FrozenBackbone]:
    """A backbone without options and one with them, with equal weights."""
    plain = lively(FrozenBackbone(body, "random", **options))
    switched = FrozenBackbone(body, "random", forward=switches, **options)
    switched.load_state_dict(plain.state_dict())
    return plain, switched


def differences(wanted, found) -> float:
    return max(relative_difference(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    ("switches", "tolerance"),
    [
        (dict(memory_format="channels_last"), 1e-5),
        (dict(fold_norms=True), 1e-5),
        (dict(autocast="bfloat16"), 3e-2),
        pytest.param(
            dict(autocast="float16"),
            4e-3,
            marks=pytest.mark.skipif(TORCH < (2, 4), reason="needs torch >= 2.4: float16 autocast on CPUs"),
        ),
        (dict(autocast="float32"), 0),
        (dict(compile=dict(backend="eager")), 0),
        (dict(memory_format="channels_last", fold_norms=True), 1e-5),
        (ALL, 3e-2),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_every_switch_gives_the_plain_features_within_its_tolerance(switches, tolerance):
    plain, switched = pair(switches)
    found = switched(IMAGES)
    assert differences(plain(IMAGES), found) <= tolerance
    assert all(f.dtype == torch.float32 and not f.requires_grad and not f.is_inference() for f in found)
    in_bfloat16 = differences(plain(IMAGES), found) > 1e-4
    assert in_bfloat16 == ("16" in str(switches.get("autocast"))), "the precision asked for is the one that ran"


@pytest.mark.parametrize(
    "body",
    [dict(type="torchvision", name="resnet18"), dict(type="mmdet.ResNet", depth=18)],
    ids=["torchvision", "mmdet"],
)
def test_norms_of_every_library_are_folded(body):
    plain, switched = pair(dict(fold_norms=True), body)
    assert differences(plain(IMAGES), switched(IMAGES)) <= 1e-5
    assert switched._frozen_forward.copy.num_folded == 20
    assert not any(isinstance(m, nn.BatchNorm2d) for m in switched._frozen_forward.copy.body.module.modules())


def test_the_original_tensors_keys_and_digest_do_not_change():
    plain, switched = pair(ALL)
    before = {name: (value.data_ptr(), value.stride()) for name, value in switched.state_dict().items()}
    switched.train()(IMAGES)
    assert {name: (value.data_ptr(), value.stride()) for name, value in switched.state_dict().items()} == before
    assert switched.frozen_fingerprint() == plain.frozen_fingerprint()
    assert list(switched.state_dict()) == list(plain.state_dict())
    assert [n for n, _ in switched.named_modules()] == [n for n, _ in plain.named_modules()]
    assert all(value.is_contiguous() for value in switched.frozen_tensors().values())


def test_the_inference_copy_shares_what_is_not_folded_and_counts_the_rest():
    _, switched = pair(dict(fold_norms=True))
    switched(IMAGES)
    inference_copy = switched._frozen_forward.copy
    convs = [m for m in switched.body.modules() if isinstance(m, nn.Conv2d)]
    assert inference_copy.num_folded == len(convs) == 15
    assert inference_copy.bytes == 4 * sum(conv.weight.numel() + conv.out_channels for conv in convs)
    _, laid_out = pair(dict(memory_format="channels_last"))
    laid_out(IMAGES)
    kernels = [conv.weight for conv in convs if conv.kernel_size == (3, 3)]
    assert laid_out._frozen_forward.copy.bytes == 4 * sum(weight.numel() for weight in kernels)
    mine = dict(laid_out._frozen_forward.copy.body.module.named_parameters())
    assert mine["layer1.0.bn1.weight"] is laid_out.body.layer1[0].bn1.weight


# ---- updates of the inference copy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize(
    "switches",
    [
        dict(fold_norms=True),
        dict(memory_format="channels_last"),
        dict(fold_norms=True, compile=dict(backend="aot_eager")),
    ],
    ids=["folded", "laid-out", "compiled"],
)
def test_weights_loaded_later_are_the_ones_that_run(switches, assign):
    _, switched = pair(switches)
    before = switched(IMAGES)
    other = lively(FrozenBackbone(RESNET, "random"), seed=1)
    switched.load_state_dict(copy.deepcopy(other.state_dict()), assign=assign)
    found = switched(IMAGES)
    assert differences(other(IMAGES), found) <= 1e-5
    assert differences(before, found) > 0.1


def test_a_refresh_keeps_the_inference_copy_and_a_replacement_builds_a_new_one():
    plain, switched = pair(dict(fold_norms=True))
    switched(IMAGES)
    inference_copy = switched._frozen_forward.copy
    for backbone in (plain, switched):
        with torch.no_grad():
            backbone.body.layer2[0].bn1.running_mean += 1
    assert differences(plain(IMAGES), switched(IMAGES)) <= 1e-5
    assert switched._frozen_forward.copy is inference_copy
    plain.double(), switched.double()
    found = switched(IMAGES.double())
    assert switched._frozen_forward.copy is not inference_copy
    assert found[0].dtype == torch.float64
    assert differences(plain(IMAGES.double()), found) <= 1e-12


def test_copies_and_pickles_keep_the_options_and_build_their_own_inference_copy():
    plain, switched = pair(ALL)
    wanted = switched(IMAGES)
    for other in (copy.deepcopy(switched), pickle.loads(pickle.dumps(switched))):
        assert other._frozen_forward.copy is None
        assert other._frozen_forward.switches == switched._frozen_forward.switches
        assert differences(wanted, other(IMAGES)) == 0
        with torch.no_grad():
            other.body.conv1[0].weight.zero_()
        assert differences(wanted, switched(IMAGES)) == 0, "an average of weights must not reach into the model"
        assert differences(wanted, other(IMAGES)) > 0.1
    assert switched.frozen_fingerprint() == plain.frozen_fingerprint()


def test_an_unfrozen_part_runs_without_the_options_and_trains():
    plain, switched = pair(ALL)
    switched(IMAGES)
    assert "layer4.0.conv1.weight" in switched.unfreeze(["layer4"])
    plain.unfreeze(["layer4"])
    assert switched._frozen_forward.copy is None
    found = switched.train()(IMAGES)
    assert differences(plain.train()(IMAGES), found) <= 1e-5
    found[-1].square().sum().backward()
    assert switched.body.layer4[0].conv1.weight.grad.abs().sum() > 0
    assert switched.body.layer3[0].conv1.weight.grad is None


def test_building_an_inference_copy_leaves_the_global_rng_state_unchanged(monkeypatch):
    # Some networks cannot run on meta tensors; the run that finds their norms uses random weights.
    monkeypatch.setattr(frozen_twin, "foldable", lambda body: [torch.rand(1), foldable(body)][1])
    _, switched = pair(dict(fold_norms=True))
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    switched(IMAGES)
    assert torch.equal(torch.rand(3), wanted)


def test_an_inference_copy_built_in_inference_mode_works_in_training_too():
    plain, switched = pair(dict(fold_norms=True))
    with torch.inference_mode():
        switched(IMAGES)
    with torch.no_grad():
        plain.body.layer1[0].bn1.bias += 1
        switched.body.layer1[0].bn1.bias += 1
    layer = nn.Conv2d(switched.channels[0], 2, 1)
    layer(switched(IMAGES)[0]).sum().backward()
    assert differences(plain(IMAGES), switched(IMAGES)) <= 1e-5


# ---- surroundings --------------------------------------------------------------------------------------------------


def test_autocast_of_the_frozen_part_overrides_an_outer_autocast():
    plain, low = pair(dict(autocast="bfloat16"))
    high = FrozenBackbone(RESNET, "random", forward=dict(autocast="float32"))
    high.load_state_dict(plain.state_dict())
    alone = low(IMAGES)
    with torch.autocast("cpu", torch.bfloat16):
        assert [f.dtype for f in low(IMAGES)] == [torch.bfloat16] * 4, "what follows casts anyway"
        assert differences(alone, [f.float() for f in low(IMAGES)]) == 0
        assert differences(plain.plain_features(IMAGES), low(IMAGES)) == 0
        found = high(IMAGES)
    assert differences(plain(IMAGES), found) == 0


def test_a_hook_on_a_submodule_fires_on_the_original_module():
    plain, switched = pair(dict(fold_norms=True, memory_format="channels_last"))
    switched(IMAGES)
    seen = []
    handle = switched.body.layer2.register_forward_hook(lambda module, given, out: seen.append(module))
    assert differences(plain(IMAGES), switched(IMAGES)) <= 1e-5
    handle.remove()
    switched(IMAGES)
    assert len(seen) == 1 and seen[0] is switched.body.layer2


def test_a_network_without_batch_norms_gives_the_same_bits():
    plain, switched = pair(dict(fold_norms=True), VIT, strides=(16,))
    assert differences(plain(IMAGES), switched(IMAGES)) == 0
    assert (switched._frozen_forward.copy.num_folded, switched._frozen_forward.copy.bytes) == (0, 0)


def test_traces_and_plain_features_use_the_original_modules():
    plain, switched = pair(ALL)
    switched(IMAGES)
    assert differences(plain(IMAGES), switched.plain_features(IMAGES)) == 0
    assert differences(plain(IMAGES), torch.jit.trace(switched, IMAGES, check_trace=False)(IMAGES)) == 0
    assert switched._frozen_forward.switches.autocast == "bfloat16"
    assert switched.to("meta")(IMAGES.to("meta"))[0].is_meta


# ---- compiler ------------------------------------------------------------------------------------------------------


def test_each_of_many_networks_is_compiled():
    """torch.compile counts recompilations per code object, and falls back to eager beyond a limit."""
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    runs = []

    def counting(graph, inputs):
        runs.append(graph)
        return graph.forward

    torch.compiler.reset()
    with torch._dynamo.config.patch({limit: 1}):
        for number in range(3):
            backbone = FrozenBackbone(RESNET, "random", strides=(4,), forward=dict(compile=dict(backend=counting)))
            backbone(IMAGES)
            assert len(runs) == number + 1


@pytest.mark.slow
def test_the_default_compiler_gives_the_same_features_at_several_sizes():
    torch.compiler.reset()
    plain, switched = pair(dict(compile=dict(dynamic=True), fold_norms=True), strides=(4,))
    for images in (IMAGES, torch.randn(2, 3, 96, 64)):
        assert differences(plain(images), switched(images)) <= 1e-5
    assert list(switched.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("dynamic", [True, False, None])
def test_sizes_are_dynamic_or_fixed_and_no_feature_is_lost(dynamic):
    """Plain `torch.compile(dynamic=True)` of a timm feature extractor returns no feature at all."""
    torch.compiler.reset()
    runs = []

    def counting(graph, inputs):
        runs.append(graph)
        return graph.forward

    plain, switched = pair(dict(compile=dict(dynamic=dynamic, backend=counting)))
    for size_hw in ((64, 96), (128, 160), (96, 64)):  # beyond 1 at stride 32: poolings and norms treat 1 apart
        images = torch.randn(2, 3, *size_hw)
        assert differences(plain(images), switched(images)) == 0
    assert len(runs) == {True: 1, False: 3, None: 2}[dynamic]


def test_a_compiler_that_loses_or_changes_features_is_refused():
    def losing(graph, inputs):
        return lambda *given: graph.forward(*given)[:1] * 4

    def changing(graph, inputs):
        return lambda *given: [2 * feature for feature in graph.forward(*given)]

    for backend, message in (
        (losing, r"got the shapes .* instead of .*Leave compile out"),
        (changing, r"differ by 1.0e\+00 of the largest \(tolerance 1e-03\).*Leave compile out"),
    ):
        torch.compiler.reset()
        _, switched = pair(dict(compile=dict(backend=backend)))
        with pytest.raises(InputError, match=message):
            switched(IMAGES)


def test_a_missing_compiler_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    _, switched = pair(dict(compile=True))
    with pytest.raises(InputError, match=r"expected a C\+\+ compiler.*apt install.*leave compile out"):
        switched(IMAGES)


def test_a_failing_compiler_is_one_line():
    def broken(graph, inputs):
        raise RuntimeError("no such device")

    _, switched = pair(dict(compile=dict(backend=broken)))
    with pytest.raises(InputError, match=r"torch.compile can compile here.*Leave compile out"):
        switched(IMAGES)


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_folding_that_changes_the_features_is_refused(monkeypatch):
    wrong = [Pair("layer1.0.conv1", "layer1.0.bn2"), Pair("layer1.0.conv2", "layer1.0.bn1")]
    monkeypatch.setattr(frozen_twin, "foldable", lambda body: wrong)
    _, switched = pair(dict(fold_norms=True))
    with pytest.raises(InputError, match=r"timm/test_resnet with .*fold_norms.* differ by .*Leave fold_norms out"):
        switched(IMAGES)


@pytest.mark.parametrize(
    "options",
    [dict(freeze=2), dict(freeze=False), dict(adapters=dict(type="parallel"))],
    ids=["partly", "not", "adapters"],
)
def test_a_partly_trained_backbone_accepts_the_memory_format_only(options):
    for switches in (dict(autocast="bfloat16"), dict(fold_norms=True), dict(compile=True)):
        with pytest.raises(InputError, match=rf"wholly frozen backbone without adapters for {next(iter(switches))}"):
            FrozenBackbone(RESNET, "random", forward=switches, **options)
    plain, switched = pair(dict(memory_format="channels_last"), **options)
    gradients = []
    for backbone in (plain, switched):
        features = backbone.train()(IMAGES)
        sum(feature.square().mean() for feature in features).backward()
        gradients.append([p.grad for p in backbone.parameters() if p.grad is not None])
    assert features[0].is_contiguous(memory_format=torch.channels_last)
    assert differences(plain(IMAGES), switched(IMAGES)) <= 1e-4
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert differences(*gradients) <= 1e-3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            dict(zzz=True),
            "among memory_format, autocast, fold_norms, compile in model.backbone.forward, got 'zzz'; leave",
        ),
        (dict(fold_norm=True), "'fold_norm'; did you mean 'fold_norms'"),
        (dict(memory_format="channel_last"), "'channel_last'; did you mean 'channels_last'"),
        (dict(autocast="bf16"), "among None, 'bfloat16', 'float16', 'float32', got 'bf16'"),
        (dict(fold_norms="yes"), "fold_norms among False, True, got 'yes'"),
        (dict(compile=dict(dynamics=True)), "'dynamics'; did you mean 'dynamic'"),
        (dict(compile=dict(mode="reduce-overhead")), "without CUDA graphs"),
        (dict(compile="yes"), "compile as True, False or options"),
        ("channels_last", "as a dict such as"),
    ],
)
def test_an_unknown_option_or_value_is_refused_with_the_known_ones(given, message):
    with pytest.raises(InputError, match=message):
        FrozenBackbone(RESNET, "random", forward=given)


def test_no_option_is_enabled_by_default():
    assert ForwardSwitches.parse(None).names == ForwardSwitches.parse({}).names == []
    assert ForwardSwitches.parse(ALL).frozen_only == ["autocast", "fold_norms", "compile"]

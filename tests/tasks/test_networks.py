"""Every network: as many parameters as published, and what its kind and its training ask of it."""

from __future__ import annotations

import copy
import runpy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from distillbench.bench.measure.size import size
from distillbench.tasks.networks.base import Ends, UnfitError
from distillbench.tasks.networks.registry import NETWORKS
from support.paths import ROOT

ELSEWHERE = {"module", "onnx", "timm", "torchvision"}
"""What brings networks that are not ours."""


def classifier(classes: int = 10, channels: int = 3, side: int = 32) -> Ends:
    return Ends("classifier", (channels, side, side), (classes,))


def generator(latent: int = 128, channels: int = 3, side: int = 32) -> Ends:
    return Ends("generator", (latent,), (channels, side, side), latent)


def discriminator(channels: int = 3, side: int = 32) -> Ends:
    return Ends("discriminator", (channels, side, side), ())


def autoencoder(latent: int = 16, channels: int = 1, side: int = 28) -> Ends:
    return Ends("autoencoder", (channels, side, side), (channels, side, side), latent)


def super_resolver(scale: int = 2) -> Ends:
    return Ends("super_resolver", (1, None, None), (1, None, None), scale=scale)


DENOISER = Ends("denoiser", (1, None, None), (1, None, None))
STYLISER = Ends("styliser", (3, None, None), (3, None, None))


def build(ends: Ends, name: str, **settings: Any) -> nn.Module:
    return NETWORKS.get(name)(**settings).build(ends)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def counted(ends: Ends, name: str, **settings: Any) -> int:
    with torch.device("meta"):
        return parameters(build(ends, name, **settings))


# Counted in the implementation of Tian et al. 2020 (HobbitLong/RepDistiller), with 10 and with 100 classes.
OF_DISTILLATION_PAPERS = [
    ("resnet", {"depth": 8}, 78_042, 83_892),
    ("resnet", {"depth": 14}, 175_258, 181_108),
    ("resnet", {"depth": 20}, 272_474, 278_324),
    ("resnet", {"depth": 32}, 466_906, 472_756),
    ("resnet", {"depth": 44}, 661_338, 667_188),
    ("resnet", {"depth": 56}, 855_770, 861_620),
    ("resnet", {"depth": 110}, 1_730_714, 1_736_564),
    ("resnet", {"depth": 8, "widening": 4}, 1_210_410, 1_233_540),
    ("resnet", {"depth": 32, "widening": 4}, 7_410_730, 7_433_860),
    ("wide_resnet", {"depth": 16, "widening": 1}, 175_066, 180_916),
    ("wide_resnet", {"depth": 16, "widening": 2}, 691_674, 703_284),
    ("wide_resnet", {"depth": 40, "widening": 1}, 563_930, 569_780),
    ("wide_resnet", {"depth": 40, "widening": 2}, 2_243_546, 2_255_156),
    ("vgg", {"depth": 8}, 3_918_858, 3_965_028),
    ("vgg", {"depth": 11}, 9_231_114, 9_277_284),
    ("vgg", {"depth": 13}, 9_416_010, 9_462_180),
    ("vgg", {"depth": 16}, 14_728_266, 14_774_436),
    ("vgg", {"depth": 19}, 20_040_522, 20_086_692),
    ("resnet_bottleneck", {"depth": 50}, 23_520_842, 23_705_252),
    ("mobilenet_v2", {"width": 0.5}, 697_546, 812_836),
    ("shufflenet_v1", {}, 862_768, 949_258),
    ("shufflenet_v2", {}, 1_263_278, 1_355_528),
]


@pytest.mark.parametrize(("name", "settings", "ten", "hundred"), OF_DISTILLATION_PAPERS)
def test_classifiers_are_as_large_as_those_of_papers_on_distillation(
    name: str, settings: dict[str, Any], ten: int, hundred: int
) -> None:
    assert counted(classifier(10), name, **settings) == ten
    assert counted(classifier(100), name, **settings) == hundred


ROUNDED = [
    # He et al. 2016, table 6: without parameters in the shortcuts (option A).
    ("resnet", {"depth": 20, "shortcut": "zeros"}, 0.27, 2),
    ("resnet", {"depth": 32, "shortcut": "zeros"}, 0.46, 2),
    ("resnet", {"depth": 44, "shortcut": "zeros"}, 0.66, 2),
    ("resnet", {"depth": 56, "shortcut": "zeros"}, 0.85, 2),
    ("resnet", {"depth": 110, "shortcut": "zeros"}, 1.7, 1),
    ("resnet", {"depth": 1202, "shortcut": "zeros"}, 19.4, 1),
    # Zagoruyko & Komodakis 2017 (Paying more attention to attention).
    ("wide_resnet", {"depth": 16, "widening": 1}, 0.2, 1),
    ("wide_resnet", {"depth": 16, "widening": 2}, 0.7, 1),
    # Zagoruyko & Komodakis 2016, table 4.
    ("wide_resnet", {"depth": 40, "widening": 1}, 0.6, 1),
    ("wide_resnet", {"depth": 40, "widening": 2}, 2.2, 1),
    ("wide_resnet", {"depth": 40, "widening": 4}, 8.9, 1),
    ("wide_resnet", {"depth": 40, "widening": 8}, 35.7, 1),
    ("wide_resnet", {"depth": 28, "widening": 10}, 36.5, 1),
    ("wide_resnet", {"depth": 28, "widening": 12}, 52.5, 1),
    ("wide_resnet", {"depth": 22, "widening": 8}, 17.2, 1),
    ("wide_resnet", {"depth": 22, "widening": 10}, 26.8, 1),
    ("wide_resnet", {"depth": 16, "widening": 8}, 11.0, 1),
    ("wide_resnet", {"depth": 16, "widening": 10}, 17.1, 1),
]


@pytest.mark.parametrize(("name", "settings", "millions", "digits"), ROUNDED)
def test_classifiers_are_as_large_as_their_papers_say(
    name: str, settings: dict[str, Any], millions: float, digits: int
) -> None:
    assert round(counted(classifier(10), name, **settings) / 1e6, digits) == millions


def test_a_shortcut_of_zeros_saves_just_the_convolutions_and_their_normalisation() -> None:
    saved = counted(classifier(), "resnet") - counted(classifier(), "resnet", shortcut="zeros")
    assert saved == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)


EXACT = [
    # PyTorch's example (pytorch/examples, dcgan): 64×64, a code of 100.
    (generator(100, side=64), "dcgan", {}, 3_576_704),
    (discriminator(side=64), "dcgan_discriminator", {"spectral_norm": False}, 2_765_568),
    # Mimicry (Lee & Town 2020, kwotsin/mimicry), counted: SNGAN for 32×32, a code of 128.
    (generator(), "sngan", {}, 4_276_739),
    (discriminator(), "sngan_discriminator", {}, 1_053_825),
    # Layer by layer: 5×5 to 64, 3×3 to 32, 3×3 to scale². Tables of later papers: 25 K at ×4.
    *((super_resolver(r), "espcn", {}, 26 * 64 + (9 * 64 + 1) * 32 + (9 * 32 + 1) * r**2) for r in (2, 3, 4)),
    # sanghyun-son/EDSR-PyTorch, baselines for colour: 1.37, 1.55 and 1.52 M. Luma has two channels less at either end.
    *(
        (super_resolver(r), "edsr", {}, colour - 2 * 9 * 64 - (2 * 9 * 64 + 2))
        for r, colour in ((2, 1_369_859), (3, 1_554_499), (4, 1_517_571))
    ),
    # The convolutions of DnCNN-S, normalisation made part of them: 0.555 M, as cszn/KAIR has its weights.
    (DENOISER, "dncnn", {"depth": 17, "width": 64}, 10 * 64 + 15 * (9 * 64 + 1) * 64 + 9 * 64 + 1),
    # DnCNN-S itself: "0.56 M" in tables of later papers.
    (DENOISER, "dncnn", {"depth": 17, "width": 64, "batch_norm": True}, 10 * 64 + 15 * (9 * 64 + 2) * 64 + 9 * 64 + 1),
    # PyTorch's example (pytorch/examples, fast_neural_style) has 1,679,235: also biases before a normalisation, of the
    # layers to 32, 64, 128, 64 and 32 channels and of ten to 128; and in the blocks those of the last normalisation.
    (
        STYLISER,
        "johnson",
        {"width": 32, "blocks": 5, "kernel": 9},
        1_679_235 - (32 + 64 + 128 + 64 + 32 + 10 * 128) - 5 * 128,
    ),
    # No published count: two convolutions to a map of 64×7×7, a layer to 2 · 16; the same back.
    (
        autoencoder(),
        "conv_vae",
        {"width": 32},
        (16 + 1) * 32 + (16 * 32 + 1) * 64 + (3136 + 1) * 32 + (16 + 1) * 3136 + (16 * 64 + 1) * 32 + (16 * 32 + 1),
    ),
    # A 3×3 convolution more at 14×14 and at 7×7, there and back.
    (autoencoder(), "conv_vae", {"width": 32, "depth": 2}, 220_385 + 2 * (9 * 32 + 1) * 32 + 2 * (9 * 64 + 1) * 64),
]


@pytest.mark.parametrize(("ends", "name", "settings", "expected"), EXACT)
def test_networks_are_as_large_as_published(ends: Ends, name: str, settings: dict[str, Any], expected: int) -> None:
    assert counted(ends, name, **settings) == expected


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_is_as_large_as_published(scale: int) -> None:
    """Dong et al. 2016: 12,464 for FSRCNN(56, 12, 4), without biases and PReLU."""
    with torch.device("meta"):
        model = build(super_resolver(scale), "fsrcnn", features=56, shrunk=12, mappings=4)
    weights = [p for p in model.parameters() if p.dim() == 4]
    assert sum(p.numel() for p in weights) == 25 * 56 + 56 * 12 + 4 * 9 * 12**2 + 12 * 56 + 81 * 56 == 12_464
    assert parameters(model) == 12_464 + (56 + 5 * 12 + 56 + 1) + (56 + 5 * 12 + 56)


SLIM: list[tuple[Ends, tuple[int, ...], str, dict[str, Any]]] = [
    (classifier(), (3, 32, 32), "cnn", {"width": 4, "batch_norm": True, "dropout": 0.1}),
    (classifier(), (3, 32, 32), "mlp", {"hidden": [8]}),
    (classifier(), (3, 32, 32), "resnet", {"depth": 14}),
    (classifier(), (3, 32, 32), "resnet", {"depth": 8, "shortcut": "zeros"}),
    (classifier(), (3, 32, 32), "resnet_bottleneck", {"width": 2}),
    (classifier(), (3, 32, 32), "wide_resnet", {"depth": 10, "widening": 2, "dropout": 0.1}),
    (classifier(), (3, 32, 32), "vgg", {"width": 4}),
    (classifier(), (3, 32, 32), "vgg", {"width": 4, "batch_norm": False}),
    (classifier(), (3, 32, 32), "mobilenet_v2", {"width": 0.25, "expansion": 2}),
    (classifier(), (3, 32, 32), "shufflenet_v1", {"width": 48}),
    (classifier(), (3, 32, 32), "shufflenet_v2", {"width": 16, "features": 32}),
    (classifier(4, 1, 28), (1, 28, 28), "resnet", {"depth": 8}),
    (classifier(4, 1, 28), (1, 28, 28), "shufflenet_v1", {"width": 40, "groups": 2}),
    (generator(6), (6,), "conv", {"width": 4}),
    (generator(6), (6,), "dense", {"hidden": [8]}),
    (generator(6), (6,), "dcgan", {"width": 4}),
    (generator(6), (6,), "sngan", {"width": 8}),
    (generator(6, 1, 28), (6,), "dcgan", {"width": 4}),
    (generator(6, 1, 28), (6,), "sngan", {"width": 8}),
    (discriminator(), (3, 32, 32), "patch", {"width": 8}),
    (discriminator(), (3, 32, 32), "dcgan_discriminator", {"width": 4}),
    (discriminator(), (3, 32, 32), "dcgan_discriminator", {"width": 4, "spectral_norm": False}),
    (discriminator(), (3, 32, 32), "sngan_discriminator", {"width": 8}),
    (discriminator(1, 28), (1, 28, 28), "dcgan_discriminator", {"width": 4}),
    (discriminator(1, 28), (1, 28, 28), "sngan_discriminator", {"width": 8}),
    (autoencoder(4), (1, 28, 28), "vae", {"hidden": [8]}),
    (autoencoder(4), (1, 28, 28), "conv_vae", {"width": 4}),
    (autoencoder(4, 3, 32), (3, 32, 32), "conv_vae", {"width": 4, "depth": 2}),
    (super_resolver(3), (1, 12, 14), "fsrcnn", {"features": 4, "shrunk": 3, "mappings": 1}),
    (super_resolver(3), (1, 12, 14), "espcn", {"features": 4, "mapped": 3}),
    (super_resolver(2), (1, 12, 14), "espcn", {"features": 4, "mapped": 3, "bicubic": False}),
    (super_resolver(4), (1, 12, 14), "edsr", {"width": 4, "blocks": 2, "residual_scaling": 0.1}),
    (super_resolver(3), (1, 12, 14), "edsr", {"width": 4, "blocks": 2, "bicubic": False}),
    (DENOISER, (1, 12, 14), "dncnn", {"depth": 4, "width": 4}),
    (DENOISER, (1, 12, 14), "dncnn", {"depth": 4, "width": 4, "batch_norm": True}),
    (STYLISER, (3, 16, 24), "johnson", {"width": 4, "blocks": 1}),
]
EACH = pytest.mark.parametrize(
    ("ends", "taken", "name", "settings"), SLIM, ids=[f"{s[2]}-{i}" for i, s in enumerate(SLIM)]
)


def test_all_networks_are_tested() -> None:
    assert {name for _, _, name, _ in SLIM} == NETWORKS.built_in - ELSEWHERE


def inputs(taken: tuple[int, ...], count: int = 4) -> Tensor:
    """Codes from N(0, I), images from U[0, 1]."""
    rng = torch.Generator().manual_seed(1)
    draw = torch.randn if len(taken) == 1 else torch.rand
    return draw(count, *taken, generator=rng)


def seeded_network(ends: Ends, name: str, settings: dict[str, Any], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(ends, name, **settings)


def outputs(model: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    out = model(images)
    return out if isinstance(out, tuple) else (out,)


@EACH
def test_it_gives_what_its_kind_gives(ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]) -> None:
    assert NETWORKS.get(name).kinds == {ends.kind}
    model = seeded_network(ends, name, settings)
    for training in (True, False):
        given = outputs(model.train(training), inputs(taken))
        assert all(out.isfinite().all() for out in given)
        if ends.kind == "discriminator":
            features, logits = given
            assert features.shape[0] == logits.shape[0] == 4
            assert features.dim() == logits.dim() == 4
            assert logits.shape[1] == 1
            continue
        (out,) = given
        if ends.kind == "classifier":
            assert out.shape == (4, ends.classes)
        elif ends.kind == "super_resolver":
            assert out.shape == (4, 1, ends.scale * taken[1], ends.scale * taken[2])
        else:
            assert out.shape == (4, *(ends.shape if ends.kind in ("generator", "autoencoder") else taken))
        if ends.kind in ("generator", "autoencoder", "styliser"):
            assert out.min() >= 0
            assert out.max() <= 1


@EACH
def test_a_gradient_reaches_every_parameter(
    ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]
) -> None:
    """In eval mode: while it learns, batch normalisation takes a constant away, and with it the gradient."""
    model = seeded_network(ends, name, settings).eval()
    images = inputs(taken).requires_grad_()
    # Of a discriminator the verdict, which comes last.
    outputs(model, images)[-1].square().sum().backward()
    untouched = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched
    assert images.grad is not None
    assert images.grad.any()


@EACH
def test_what_is_said_of_an_input_depends_on_no_other(
    ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]
) -> None:
    model = seeded_network(ends, name, settings)
    model(inputs(taken))  # a step of batch normalisation, so that its statistics are not those of nothing
    model.eval()
    together = outputs(model, inputs(taken))
    alone = outputs(model, inputs(taken)[1:2])
    for some, one in zip(together, alone, strict=True):
        torch.testing.assert_close(some[1:2], one, rtol=1e-4, atol=1e-5)


@EACH
def test_the_seed_decides_the_weights(ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]) -> None:
    first, same, other = (seeded_network(ends, name, settings, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@EACH
def test_it_is_sized_without_memory(ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]) -> None:
    with torch.device("meta"):
        there = build(ends, name, **settings).eval()
        counted = size(there, torch.empty(1, *taken))
    here = seeded_network(ends, name, settings).eval()
    assert all(p.is_meta for p in there.parameters())
    assert counted.parameters == parameters(here)
    assert counted.macs == size(here, inputs(taken, 1)).macs > 0


@EACH
def test_a_copy_says_the_same_and_shares_nothing(
    ends: Ends, taken: tuple[int, ...], name: str, settings: dict[str, Any]
) -> None:
    model = seeded_network(ends, name, settings).eval()
    twin = copy.deepcopy(model)
    for before, after in zip(outputs(model, inputs(taken)), outputs(twin, inputs(taken)), strict=True):
        assert torch.equal(before, after)
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in twin.parameters()}


@pytest.mark.parametrize("name", sorted(NETWORKS.built_in - ELSEWHERE))
def test_every_setting_is_described_and_bounded(name: str) -> None:
    network = NETWORKS.get(name)
    assert network().name == name
    assert NETWORKS.first_line(name).endswith((".", ":"))
    for key, field in network.model_fields.items():
        if key != "name":
            assert field.description, key
            with pytest.raises(ValidationError):
                network(**{key: -1})


CLASSIFIERS = [(name, settings) for ends, _, name, settings in SLIM[:11]]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 33, 47), (2, 5, 4)], ids=str)
@pytest.mark.parametrize(("name", "settings"), CLASSIFIERS)
def test_classifiers_take_images_of_any_size_and_channels(
    name: str, settings: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    model = seeded_network(Ends("classifier", shape, (3,)), name, settings)
    model(inputs(shape)).sum().backward()
    assert model.eval()(inputs(shape, 2)).shape == (2, 3)


@pytest.mark.parametrize("name", ["dcgan", "sngan", "conv_vae"])
@pytest.mark.parametrize(("height", "width", "fits"), [(8, 8, True), (48, 32, True), (4, 4, False), (30, 30, False)])
def test_sizes_that_do_not_halve_are_refused(name: str, height: int, width: int, fits: bool) -> None:
    kind = "autoencoder" if name == "conv_vae" else "generator"
    ends = Ends(kind, (3, height, width), (3, height, width), 5)
    if fits:
        taken = (3, height, width) if name == "conv_vae" else (5,)
        assert build(ends, name, width=2)(inputs(taken, 2)).shape == (2, 3, height, width)
    else:
        with pytest.raises(UnfitError, match=f"{width}×{height} images cannot be halved"):
            build(ends, name, width=2)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 47), (3, 31, 64)], ids=str)
@pytest.mark.parametrize("name", ["dcgan_discriminator", "sngan_discriminator"])
def test_every_pixel_reaches_the_verdict(name: str, shape: tuple[int, int, int]) -> None:
    model = seeded_network(Ends("discriminator", shape, ()), name, {"width": 8}).eval()
    assert min(shape[1:]) >= NETWORKS.get(name)().least_side
    images = inputs(shape, 8).requires_grad_()
    model(images)[1].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum(0).all()


def test_a_spectral_norm_is_one() -> None:
    for name in ("dcgan_discriminator", "sngan_discriminator"):
        model = seeded_network(discriminator(), name, {"width": 8})
        for _ in range(30):
            model(inputs((3, 32, 32)))
        model.eval()
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert len(layers) >= 4
        for layer in layers:
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_dncnn_without_batch_normalisation_draws_what_it_drew() -> None:
    """Records and weights of before are of this network."""
    torch.manual_seed(3)
    widths = [(1, 5), (5, 5), (5, 5), (5, 1)]
    layers = [nn.Conv2d(before, after, 3, padding=1) for before, after in widths]
    for layer in layers[:-1]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    state = seeded_network(DENOISER, "dncnn", {"depth": 4, "width": 5}, 3).state_dict()
    assert [key for key in state if key.endswith("weight")] == [f"body.{2 * i}.weight" for i in range(4)]
    for i, layer in enumerate(layers):
        assert torch.equal(state[f"body.{2 * i}.weight"], layer.weight)
        assert torch.equal(state[f"body.{2 * i}.bias"], layer.bias if i == 3 else torch.zeros(5))


def test_super_resolvers_begin_near_bicubic_where_they_learn_the_residual() -> None:
    from distillbench.tasks.metrics.images import upscale

    low = torch.linspace(0, 1, 144).view(1, 1, 12, 12)
    for name in ("espcn", "edsr"):
        model: Any = seeded_network(super_resolver(), name, {})
        torch.testing.assert_close(model(low), upscale(low, 2) + model.residual(low))
        assert model.residual(low).abs().mean() < 0.1
        assert not hasattr(seeded_network(super_resolver(), name, {"bicubic": False}), "residual")


def test_a_student_of_the_convolutional_autoencoder_is_four_times_smaller_and_faster() -> None:
    with torch.device("meta"):
        teacher, student = (size(build(autoencoder(), "conv_vae", width=w), torch.empty(1, 1, 28, 28)) for w in (32, 8))
    assert teacher.parameters > 4 * student.parameters
    assert teacher.macs > 4 * student.macs


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet", {"depth": 21}, r"6n \+ 2"),
        ("wide_resnet", {"depth": 20}, r"6n \+ 4"),
        ("vgg", {"depth": 12}, "8, 11, 13, 16 or 19"),
        ("shufflenet_v1", {"width": 50}, "multiple of 12 for groups = 3"),
        ("shufflenet_v2", {"width": 25}, "multiple of 2"),
    ],
)
def test_depths_and_widths_that_no_such_network_has_are_refused(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        NETWORKS.get(name)(**settings)


def test_the_document_names_all_networks_with_their_figures() -> None:
    made_again: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "networks.py"))
    current: Callable[[], str] = made_again["current"]
    document = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert current() == document, "python docs/networks.py"
    assert {name for _, name, _ in made_again["NAMED"]} == NETWORKS.built_in - ELSEWHERE
    assert all(f"`{name}`" in document for name in NETWORKS.built_in)

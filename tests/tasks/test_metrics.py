"""Metrics and feature extractors: against definitions, and strong enough for what they compare."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distillbench.bench.measure.size import size
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from distillbench.tasks.base import Task, evaluation_of
from distillbench.tasks.data.embedded import digits, photographs
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.feature_extractors.classifier import ClassifierExtractor, FeatureClassifiers
from distillbench.tasks.feature_extractors.perceptual import VGG16, RandomPyramid, VGGExtractor
from distillbench.tasks.metrics.distributions import distances, features
from distillbench.tasks.metrics.images import downscale, luma, psnr, shave, ssim, upscale
from distillbench.tasks.networks.base import Ends
from distillbench.tasks.networks.johnson import Johnson


@pytest.fixture(scope="module")
def extractor() -> FeatureClassifiers:
    recipe = ClassifierExtractor(lambda: "digits", "grey levels in [0, 1]", lambda: digits().train, to_float)
    trained = recipe.train().eval()
    assert isinstance(trained, FeatureClassifiers)
    return trained


@torch.no_grad()
def test_the_feature_extractors_of_digits_know_digits(extractor: FeatureClassifiers) -> None:
    validation = digits().validation
    for classifier in (extractor.first, extractor.second):
        right = classifier(to_float(validation.images)).argmax(1) == validation.labels
        assert right.double().mean() > 0.96
        features = classifier.features(to_float(digits().train.images))
        assert features.std(0).mean().item() == pytest.approx(1, abs=0.2)


def between(extractor: FeatureClassifiers, real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    return distances(features(extractor, None, real), features(extractor, None, fake))


def test_distances_order_real_images_noise_and_collapse(extractor: FeatureClassifiers) -> None:
    real, train = to_float(digits().test.images), to_float(digits().train.images)
    noise = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    collapsed = real[:1].repeat(500, 1, 1, 1) + 0.01 * noise
    floor, from_noise, from_collapse = (between(extractor, real, fake) for fake in (train, noise, collapsed))
    assert floor["classifier_fid"] < 1
    assert from_collapse["classifier_fid"] > 10 * floor["classifier_fid"]
    assert from_noise["classifier_fid"] > 10 * floor["classifier_fid"]
    assert from_collapse["classifier_kid"] > 10 * abs(floor["classifier_kid"])
    for found in (floor, from_noise, from_collapse):
        assert found["classifier_fid_2"] != found["classifier_fid"]
        assert found["classifier_fid_2"] == pytest.approx(found["classifier_fid"], rel=0.6)
        assert found["classifier_fid_infinity"] < found["classifier_fid"]


def test_fid_is_the_frechet_distance_of_two_gaussians(extractor: FeatureClassifiers) -> None:
    import numpy as np
    from scipy.linalg import sqrtm

    real, fake = to_float(digits().test.images), to_float(digits().train.images)
    with torch.no_grad():
        a, b = (extractor.first.features(images).double().numpy() for images in (real, fake))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert between(extractor, real, fake)["classifier_fid"] == pytest.approx(expected, rel=1e-6)


def test_bicubic_is_matlabs_kernel_in_both_directions() -> None:
    # Trap: without antialiasing on the way up the kernel is another one (a = −0.75), 0.2 to 0.3 dB too good.
    ramp = torch.linspace(0, 1, 32).repeat(32, 1)[None, None]
    expected = (torch.arange(64) - 0.5) / 2 / 31
    plain = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="bicubic")
    # Of the cubic kernels only a = −0.5 reproduces a ramp (Keys 1981).
    assert (upscale(ramp, 2) - expected)[..., 8:-8].abs().max() < 1e-5
    assert (plain - expected)[..., 8:-8].abs().max() > 1e-3
    impulse = torch.zeros(1, 1, 17, 17)
    impulse[..., 8, 8] = 1
    # The weight at a distance of a quarter pixel; a = −0.75 would give 0.8789.
    assert upscale(impulse, 2).max().sqrt().item() == pytest.approx(0.8671875, abs=1e-4)


def test_low_resolution_inputs_have_256_levels() -> None:
    picture = to_float(photographs().test.images[0])[None, :1]
    low = downscale(picture, 2)
    assert torch.equal((low * 255).round() / 255, low)


def test_luma_is_matlabs() -> None:
    colours = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]).T.view(3, 1, 3)
    assert (luma(colours) * 255).flatten().tolist() == pytest.approx([16, 235, 81])


def test_items_of_one_name_are_no_items() -> None:
    with pytest.raises(ValueError, match="two examples have one name"):
        evaluation_of(["a", "a"], {"psnr": [1.0, 2.0]})


def test_three_equal_channels_are_converted_as_three_others() -> None:
    grey = torch.tensor([0, 128, 255]).view(1, 1, 3) / 255
    assert (luma(grey) * 255).flatten().tolist() == pytest.approx([0, 128, 255])
    assert (luma(grey.expand(3, -1, -1)) * 255).flatten().tolist() == pytest.approx([16, 126, 235])


def test_a_file_of_one_channel_is_its_own_luma() -> None:
    camera = to_float(photographs().test.images[2])
    assert torch.equal(luma(camera), camera[:1])
    # By convention (no conversion): 29.90 dB; squeezed into [16, 235] it would be 1.3 dB too good.
    low = downscale(luma(camera)[None], 2)
    assert psnr(shave(upscale(low, 2), 2), shave(luma(camera)[None], 2)) == pytest.approx(29.90, abs=0.005)


def test_psnr_and_ssim_of_known_images() -> None:
    image = to_float(photographs().test.images[2])[None, :1]
    noise = 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    assert psnr((image * 0 + 0.6), image * 0 + 0.5) == pytest.approx(20, abs=1e-3)
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(image + noise, image) == pytest.approx(plain_ssim((image + noise).clamp(0, 1), image), abs=1e-8)


def plain_ssim(one: torch.Tensor, other: torch.Tensor) -> float:
    """Wang et al. 2004, eq. 13, over the places where the whole 11×11 window lies inside the image."""
    distance = torch.arange(-5, 6, dtype=torch.double)
    bell = torch.exp(-(distance**2) / (2 * 1.5**2))
    window = (bell[:, None] * bell / bell.sum() ** 2)[None, None]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(values.double(), window)

    x, y = one.double(), other.double()
    (mx, my), (c1, c2) = (mean(x), mean(y)), (0.01**2, 0.03**2)
    vx, vy, covariance = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return ((2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean().item()


def test_ssim_is_what_torchmetrics_has_inside_the_border() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    target = luma(to_float(photographs().test.images[0]))[None]
    image = upscale(downscale(target, 2), 2).clamp(0, 1)
    whole, full = structural_similarity_index_measure(
        image.double(), target.double(), data_range=1.0, return_full_image=True
    )
    assert ssim(image, target) == pytest.approx(shave(full, 5).mean().item(), abs=1e-8)
    assert abs(float(whole) - ssim(image, target)) > 1e-5, "with its reflected border it is another figure"


def test_the_iwae_bound_is_tighter_than_the_elbo(task_of: Callable[[str], Task]) -> None:
    from distillbench.bench.training.loop import initial

    task = task_of("vae")
    model = initial(task, "student", 0).eval()
    settings = task.settings.model_copy(update={"importance_samples": 20})
    wider = type(task)(settings)
    wider.feature_extractor = task.feature_extractor
    metrics = wider.evaluate(model, model).metrics
    assert metrics["neg_iwae"] < metrics["neg_elbo"]


def test_test_noise_is_fixed_by_the_files_name(task_of: Callable[[str], Task]) -> None:
    task = task_of("denoising")
    first, second = (task.baseline("noisy input") for _ in range(2))
    assert first == second
    assert first.metrics["psnr"] == pytest.approx(
        20.2, abs=0.4
    )  # 20·log10(255/25) = 20.17, a little more where clipped


def test_macs_are_those_of_a_convolution() -> None:
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    layer_size = size(layer, torch.zeros(1, 3, 8, 8))
    assert layer_size.macs == 8 * 8 * 5 * 3 * 9
    assert layer_size.parameters == 5 * 3 * 9 + 5


def test_the_random_pyramid_sees_edges_and_colours_in_units_of_the_style(task_of: Callable[[str], Task]) -> None:
    picture = to_float(task_of("style_transfer").style_picture)  # type: ignore[attr-defined]
    torch.manual_seed(5)
    network = RandomPyramid(picture)
    torch.manual_seed(6)
    again = RandomPyramid(picture)
    assert torch.equal(network.filters, again.filters), "drawn from its own seed"
    features = network(picture[None])
    assert [maps.shape[1] for maps in features.values()] == [54] * 5
    for maps in features.values():
        size = maps.square().mean(dim=(0, 2, 3)).sqrt()
        assert size.max() < 1.001
        assert (size > 0.999).float().mean() > 0.8, "the others are nearly silent"
    flat = network(torch.full((1, 3, 96, 96), 0.8))
    assert all(maps[:, :48].max() < 1e-3 for maps in flat.values()), "no edges, at no border"
    assert all(maps[:, 48:].max() > 0.1 for maps in flat.values())
    assert {name: tuple(maps.shape[2:]) for name, maps in flat.items()} == {
        "level1": (46, 46), "level2": (44, 44), "level3": (20, 20), "level4": (8, 8), "level5": (2, 2)
    }  # fmt: skip


def test_every_weight_of_a_styliser_does_something() -> None:
    # In double precision: what a normalisation takes away again has a gradient of nothing but rounding.
    torch.manual_seed(0)
    model = Johnson(width=4, blocks=2).build(Ends("styliser", (3, None, None), (3, None, None))).double()
    (model(torch.rand(2, 3, 32, 32).double()) * torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(weight.grad is not None and weight.grad.norm() > 1e-6 for weight in model.parameters())


def test_an_unchanged_photograph_has_all_the_content_and_none_of_the_style(task_of: Callable[[str], Task]) -> None:
    metrics = task_of("style_transfer").baseline("unchanged photograph").metrics
    assert metrics["content"] < 1e-3
    assert metrics["gram_style"] > 5
    assert metrics["objective"] > metrics["gram_style"]


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names that torchvision's file has, the layers that are not needed among them."""
    torch.manual_seed(0)
    state = VGG16().state_dict() | {"features.24.weight": torch.zeros(1), "classifier.6.bias": torch.zeros(1000)}
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg_has_the_layers_that_torchvision_numbers(vgg_weights: Path) -> None:
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
    assert set(VGG16().state_dict()) == {f"features.{i}.{part}" for i in convolutions for part in ("weight", "bias")}
    network = VGGExtractor(vgg_weights).train()
    features = network(torch.rand(1, 3, 32, 32))
    assert {name: tuple(value.shape[1:]) for name, value in features.items()} == {
        "relu1_2": (64, 32, 32),
        "relu2_2": (128, 16, 16),
        "relu3_3": (256, 8, 8),
        "relu4_3": (512, 4, 4),
    }


def test_style_is_measured_through_vgg_where_its_weights_are_given(vgg_weights: Path, tmp_path: Path) -> None:
    features = 'tasks.style_transfer.compared_by="features"'
    own, vgg = (
        load("smoke", more, ["style_transfer"]).pairs[0]
        for more in ((), (f'tasks.style_transfer.loss_network="{vgg_weights}"', features))
    )
    assert own.extractor_hash is None
    assert vgg.extractor_hash is not None
    assert vgg.config["data"]["loss_network"] is not None
    assert str(vgg_weights) not in str(vgg.config)
    task = vgg.build()
    recipe = task.extractor_recipe()
    assert recipe is not None
    task.feature_extractor = recipe.train().eval()
    inputs = task.shared_inputs([0], torch.Generator().manual_seed(0))
    model = task.network("student")
    assert set(task.responses(task.forward(model, inputs), inputs, model)) == {
        "relu1_2", "relu2_2", "relu3_3", "relu4_3"
    }  # fmt: skip
    assert 0 < task.loss(model, inputs, task.forward(model, inputs)).item() < 1e4


def test_files_of_weights_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pth"
    with pytest.raises(
        UserError, match=rf"tasks\.style_transfer\.loss_network: {re.escape(str(missing))} cannot be read"
    ):
        load("smoke", [f'tasks.style_transfer.loss_network="{missing}"'])
    for name, content in (("empty", b""), ("text", b"root:x:0:0:root:/root:/bin/bash\n"), ("other", None)):
        path = tmp_path / name
        if content is None:
            torch.save({"weight": torch.zeros(1)}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name} does not hold torchvision's VGG-16"):
            VGGExtractor(path).train()


def test_inception_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for task in ("gan", "vae"):
        with pytest.raises(UserError, match=rf"tasks\.{task}\.inception: needs the package torch-fidelity"):
            load("smoke", [f'tasks.{task}.inception="{tmp_path / "weights.pth"}"'], [task])

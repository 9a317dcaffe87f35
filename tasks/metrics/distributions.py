"""Distances between sets of images, on the features of a frozen network."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.tasks.base import Metric, read_only
from distillbench.tasks.data.files import DataError, file_digest
from distillbench.tasks.feature_extractors.classifier import FeatureClassifiers

KID_SUBSETS, KID_SUBSET_SIZE = 50, 500
FOLDS = 10
"""Parts of which the jackknife leaves out one at a time."""
INCEPTION_DIMENSIONS = 2048
MOST_SAMPLES = 100_000
"""The largest number of latent codes, which are drawn all at once."""
CLASSIFIER_NOTE = (
    "classifier FID and KID are on the features of a small classifier of the training images, trained by distillbench: "
    "not comparable with Inception FID"
)
INFINITY_NOTE = "classifier fid infinity is FID without the bias of finite sets of images (by the jackknife)"
REPEAT_NOTE = "classifier fid 2 is FID on a second such classifier, trained with another seed"
INCEPTION_NOTE = "inception FID and KID are on torch-fidelity's Inception v3, against the images of this split alone"

DISTANCES: Mapping[str, Metric] = {
    "classifier_fid": Metric("lower", note=CLASSIFIER_NOTE, compared="ratio"),
    "classifier_fid_infinity": Metric("lower", note=INFINITY_NOTE),
    "classifier_kid": Metric("lower", "×10⁻³", note=CLASSIFIER_NOTE),
    "classifier_fid_2": Metric("lower", note=REPEAT_NOTE, compared="ratio", repeats="classifier_fid"),
    "inception_fid": Metric("lower", note=INCEPTION_NOTE, compared="ratio"),
    "inception_kid": Metric("lower", "×10⁻³", note=INCEPTION_NOTE),
}
"""FID is compared as a ratio. Without its bias it may be negative, as KID may, and is not: these are differences. The
metrics through Inception are defined where the user has set its weights."""
FIDS: Mapping[str, str] = {
    "classifier": "classifier_fid",
    "classifier_2": "classifier_fid_2",
    "inception": "inception_fid",
}
"""The name of the FID by each network's features."""


class Precomputed(nn.Identity):
    """Stands in for the feature network that torchmetrics asks for: features are computed once for both distances.

    Args:
        dimensions: the number of features of an image.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.num_features = dimensions


FeatureSets = Mapping[str, Tensor]
"""The features of a set of images by network: (n, dimensions) each."""


def judging(extractor: nn.Module | None) -> FeatureClassifiers:
    """Return a task's feature extractor.

    Raises:
        TypeError: the task has none.
    """
    if not isinstance(extractor, FeatureClassifiers):
        raise TypeError(f"the feature extractor must be FeatureClassifiers, not {type(extractor).__name__}")
    return extractor


@torch.no_grad()
def features(extractor: nn.Module | None, inception: Path | None, images: Tensor, batch_size: int = 200) -> FeatureSets:
    """Compute the features of images in every network that distances are measured in.

    Args:
        extractor: FeatureClassifiers.
        inception: a file of torch-fidelity's weights; None: without Inception.
        images: (n, channels, h, w) in [0, 1], 1 or 3 channels.
        batch_size: images a pass.
    """
    classifiers = judging(extractor)
    networks: dict[str, Callable[[Tensor], Tensor]] = {
        "classifier": classifiers.first.features,
        "classifier_2": classifiers.second.features,
    }
    if inception is not None:
        networks["inception"] = inception_features(inception, images.device)
    return {
        name: torch.cat([network(batch) for batch in images.split(batch_size)]) for name, network in networks.items()
    }


def distances(real: FeatureSets, fake: FeatureSets) -> dict[str, float]:
    """Return FID (Heusel et al. 2017), with and without its bias, and KID × 10³ between two sets of images."""
    results = {FIDS[name]: frechet_distance(features, fake[name]) for name, features in real.items()}
    if "classifier" in real:
        results["classifier_fid_infinity"] = frechet_distance_at_infinity(real["classifier"], fake["classifier"])
    kids = {f"{name}_kid": name for name in real if f"{name}_kid" in DISTANCES}
    return results | {metric: 1000 * kernel_distance(real[name], fake[name]) for metric, name in kids.items()}


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Return KID (Bińkowski et al. 2018) of two sets of features, (n, dimensions) each; without bias."""
    from torchmetrics.image.kid import KernelInceptionDistance  # slow to import

    identity, subset = Precomputed(real.shape[1]), min(len(real), len(fake), KID_SUBSET_SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns that it keeps all features in memory
        kid = KernelInceptionDistance(feature=identity, subsets=KID_SUBSETS, subset_size=subset, normalize=True)
    kid = kid.to(real.device)
    kid.update(real, real=True)
    kid.update(fake, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the subsets are the same for every model
        mean, _ = kid.compute()
    return float(mean)


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of two sets of features, (n, dimensions) each (Dowson & Landau 1982).

    It is that of two Gaussians with the means and covariances of the features.
    """
    a, b = real.double(), fake.double()
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    root = torch.linalg.eigvals(covariance_a @ covariance_b).real.clamp_min(0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * root)


def frechet_distance_at_infinity(real: Tensor, fake: Tensor) -> float:
    """Return an estimate of the Fréchet distance that sets of infinitely many images would have.

    That of n and m images is too large by a/n + b/m, and smaller terms (Chong & Forsyth 2020). Leaving out one of
    ``FOLDS`` parts of both sets, each in turn, makes this 10/9 of itself, from which follows what it is (the jackknife:
    Quenouille 1956). It varies less than the line that Chong & Forsyth fit to subsets (docs/statistics.md).

    Args:
        real: (n, dimensions), many more than dimensions.
        fake: (m, dimensions), likewise.
    """
    parts = [_parts(len(values), seed) for seed, values in enumerate((real, fake))]
    without = [frechet_distance(real[parts[0] != k], fake[parts[1] != k]) for k in range(FOLDS)]
    return FOLDS * frechet_distance(real, fake) - (FOLDS - 1) * sum(without) / FOLDS


def _parts(count: int, seed: int) -> Tensor:
    """To which of ``FOLDS`` parts each of so many belongs, (count,): the same every time, and of sorted images too."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order % FOLDS


def inception_identity(weights: Path | None) -> Any:
    """Return the digest of Inception's weights, None without any.

    Raises:
        DataError: the file cannot be read, or torch-fidelity is not installed.
    """
    if weights is None:
        return None
    if importlib.util.find_spec("torch_fidelity") is None:
        raise DataError("needs the package torch-fidelity (pip install 'distillbench[inception]')", field="inception")
    return file_digest(weights, "inception")


@lru_cache(maxsize=1)
def inception_features(weights: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return the feature function of published FIDs: images (n, channels, h, w) in [0, 1] -> (n, 2048).

    Args:
        weights: the file of torch-fidelity's Inception v3.
        device: where to compute.

    Raises:
        DataError: the file holds other weights.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # nothing but tensors: the next line would run code
        network = FeatureExtractorInceptionV3("inception-v3-compat", [str(INCEPTION_DIMENSIONS)], str(weights))
    except Exception as error:  # torch.load raises anything on foreign bytes
        raise DataError(f"{weights} does not hold torch-fidelity's Inception v3", field="inception") from error
    network = read_only(network).to(device)

    def features(images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1)
        out: Tensor = network((255 * colour).round().to(torch.uint8))[0]
        return out.flatten(1)

    return features

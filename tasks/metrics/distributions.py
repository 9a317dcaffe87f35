"""Distances between sets of images, on the features of a frozen classifier."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tasks.base import Metric
from tasks.networks.classifiers import FeatureClassifier

KID_SUBSETS = 50
NOTE = (
    "classifier FID and KID are on the features of a small classifier of the training images, trained by distillbench: "
    "not comparable with Inception FID"
)

CLASSIFIER_FID: Mapping[str, Metric] = {
    "classifier_fid": Metric("lower", note=NOTE),
    "classifier_kid": Metric("lower", "×10⁻³", note=NOTE),
}


class Features(nn.Module):
    """The penultimate layer of a classifier, as torchmetrics wants a feature network."""

    def __init__(self, classifier: FeatureClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.num_features = classifier.head.in_features

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)


@torch.no_grad()
def classifier_distances(judge: nn.Module, real: Tensor, fake: Tensor, batch_size: int = 1000) -> dict[str, float]:
    """FID (Heusel et al. 2017) and KID × 10³ (Bińkowski et al. 2018) between two sets of images.

    real, fake: (n, channels, h, w) in [0, 1]. judge: a FeatureClassifier.
    """
    if not isinstance(judge, FeatureClassifier):
        raise TypeError(f"the judge must be a FeatureClassifier, not {type(judge).__name__}")
    features = Features(judge)
    fid = FrechetInceptionDistance(feature=features, normalize=True).to(real.device)
    subset = min(len(real), len(fake), 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it keeps all features in memory: a few megabytes here
        kid = KernelInceptionDistance(feature=features, subsets=KID_SUBSETS, subset_size=subset, normalize=True)
    kid = kid.to(real.device)
    for images, is_real in ((real, True), (fake, False)):
        for batch in images.split(batch_size):
            fid.update(batch, real=is_real)
            kid.update(batch, real=is_real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the subsets of KID are the same for every model
        mean, _ = kid.compute()
    return {"classifier_fid": float(fid.compute()), "classifier_kid": 1000 * float(mean)}

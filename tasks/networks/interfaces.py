"""What a deployed network takes and gives, by task: in words, and as what there is to do to an image before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interface:
    """takes, gives: in words. prepare: an image's way to the network. multiple: what its sides must be multiples of.

    prepare: pixels / 255 in "grey" (BT.601), "rgb" or "luma" (BT.601 in [16, 235], a grey picture as it is); "pixels":
    grey or rgb, as the network has channels; "binary": 1 from level 128 on, else 0; "array": it takes no image.
    """

    takes: str
    gives: str
    prepare: Literal["pixels", "grey", "rgb", "luma", "binary", "array"] = "array"
    multiple: int = 1


INTERFACES: Mapping[str, Interface] = {
    "classification": Interface(
        "an image, grey or colour as in training, its levels divided by 255, to [0, 1]",
        "one logit a class; a softmax makes probabilities of them",
        "pixels",
    ),
    "denoising": Interface(
        "a noisy grey photograph, levels divided by 255; the noise is neither clipped nor rounded, so that values may "
        "leave [0, 1]",
        "the photograph without the noise, in about [0, 1]: clip to it, times 255",
        "grey",
    ),
    "gan": Interface("a latent code, drawn from N(0, I)", "an image in [0, 1]: times 255"),
    "style_transfer": Interface(
        "a photograph, RGB, levels divided by 255; sides that are multiples of 4",
        "the photograph in the style, RGB in [0, 1]: times 255",
        "rgb",
        4,
    ),
    "super_resolution": Interface(
        "luma (BT.601 in [16, 235], a grey picture as it is), levels divided by 255",
        "luma of the enlarged photograph, in about [0, 1]: clip to it, times 255; its colours are enlarged otherwise, "
        "by bicubic interpolation as a rule",
        "luma",
    ),
    "vae": Interface(
        "a binary image: 1 where a level is at least 128, else 0",
        "the reconstruction from the posterior's mean: the probability that a pixel is 1",
        "binary",
    ),
}
OTHER = Interface("what the task's evaluation gives it", "what the task's documentation says")
"""Of a task that says nothing."""

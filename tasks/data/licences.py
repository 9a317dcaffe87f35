"""The sources and licences of the embedded images, as in docs/data.md."""

from __future__ import annotations

from collections.abc import Mapping

DIGITS = (
    'scikit-learn\'s copy of the UCI "Optical Recognition of Handwritten Digits" test set '
    "(Alpaydin & Kaynak 1998; CC BY 4.0)"
)
LICENCES: Mapping[str, str] = {
    "motorcycle_left": "Middlebury stereo benchmark 2014 (Scharstein et al.); no licence stated",
    "hubble_deep_field": "NASA/ESA, public domain",
    "retina": "Wikimedia Commons, CC0",
    "brick": "CC0Textures and DeviantArt (linolafett), CC0",
    "gravel": "CC0Textures and DeviantArt (linolafett), CC0",
    "grass": "CC0Textures and DeviantArt (linolafett), CC0",
    "coins": "no known copyright restrictions",
    "moon": "no source stated",
    "china": "danielbuechele, CC BY 2.0",
    "grace_hopper": "US Navy, public domain",
    "astronaut": "NASA, public domain",
    "chelsea": "Stéfan van der Walt, CC0",
    "camera": "Lav Varshney, CC0",
    "coffee": "Rachel Michetti, CC0",
    "rocket": "SpaceX, public domain",
    "flower": "as scikit-learn attributes it: danielbuechele (a link to vultilion), CC BY 2.0",
    "ihc": "immunohistochemistry, no known copyright restrictions; in no split",
}
"""The source and licence of each picture."""

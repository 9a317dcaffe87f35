"""Rebuild the table of docs/networks.md: what each network has and computes.

python docs/networks.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from distillbench.bench.measure.size import size
from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.registry import NETWORKS

DOCUMENT = Path(__file__).with_suffix(".md")
BLOCK = re.compile(r"(<!-- networks -->\n).*?(<!-- /networks -->)", re.DOTALL)
ENDS: dict[str, tuple[Ends, tuple[int, ...]]] = {
    "classifier": (Ends("classifier", (3, 32, 32), (10,)), (3, 32, 32)),
    "generator": (Ends("generator", (128,), (3, 32, 32), 128), (128,)),
    "discriminator": (Ends("discriminator", (3, 32, 32), ()), (3, 32, 32)),
    "autoencoder": (Ends("autoencoder", (1, 28, 28), (1, 28, 28), 16), (1, 28, 28)),
    "super_resolver": (Ends("super_resolver", (1, None, None), (1, None, None), scale=2), (1, 64, 64)),
    "denoiser": (Ends("denoiser", (1, None, None), (1, None, None)), (1, 64, 64)),
    "styliser": (Ends("styliser", (3, None, None), (3, None, None)), (3, 256, 256)),
}
"""{kind: the ends that a network is built between, and the input that its multiplications are counted on}."""
NAMED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "cnn", {}),
    ("", "mlp", {}),
    ("ResNet-20", "resnet", {"depth": 20}),
    ("ResNet-20, option A", "resnet", {"depth": 20, "shortcut": "zeros"}),
    ("ResNet-56", "resnet", {"depth": 56}),
    ("ResNet-110", "resnet", {"depth": 110}),
    ("resnet8x4", "resnet", {"depth": 8, "widening": 4}),
    ("resnet32x4", "resnet", {"depth": 32, "widening": 4}),
    ("ResNet-50", "resnet_bottleneck", {"depth": 50}),
    ("WRN-16-1", "wide_resnet", {"depth": 16, "widening": 1}),
    ("WRN-16-2", "wide_resnet", {"depth": 16, "widening": 2}),
    ("WRN-40-1", "wide_resnet", {"depth": 40, "widening": 1}),
    ("WRN-40-2", "wide_resnet", {"depth": 40, "widening": 2}),
    ("VGG-8", "vgg", {"depth": 8}),
    ("VGG-13", "vgg", {"depth": 13}),
    ("MobileNetV2, half as wide", "mobilenet_v2", {"width": 0.5}),
    ("ShuffleNet, g = 3", "shufflenet_v1", {}),
    ("ShuffleNet V2, 1×", "shufflenet_v2", {"width": 116}),
    ("", "dense", {}),
    ("", "conv", {}),
    ("DCGAN", "dcgan", {"width": 64}),
    ("a student", "dcgan", {"width": 16}),
    ("SNGAN", "sngan", {"width": 256}),
    ("a student", "sngan", {"width": 64}),
    ("", "patch", {}),
    ("DCGAN with spectral norm", "dcgan_discriminator", {"width": 64}),
    ("DCGAN", "dcgan_discriminator", {"width": 64, "spectral_norm": False}),
    ("SNGAN", "sngan_discriminator", {"width": 128}),
    ("", "vae", {}),
    ("", "conv_vae", {"width": 32}),
    ("a student", "conv_vae", {"width": 8}),
    ("", "fsrcnn", {}),
    ("FSRCNN(56, 12, 4)", "fsrcnn", {"features": 56, "shrunk": 12, "mappings": 4}),
    ("ESPCN", "espcn", {}),
    ("EDSR-baseline", "edsr", {"width": 64, "blocks": 16}),
    ("a student", "edsr", {"width": 16, "blocks": 4}),
    ("", "dncnn", {}),
    ("DnCNN-S", "dncnn", {"depth": 17, "width": 64, "batch_norm": True}),
    ("", "johnson", {}),
    ("Johnson et al.", "johnson", {"width": 32, "blocks": 5, "kernel": 9}),
)
"""The rows of the table: a network's name in the literature, its name here, its settings."""


def table() -> str:
    """The table in Markdown."""
    rows = ["| kind | name | settings | known as | parameters | MACs |", "| --- | --- | --- | --- | ---: | ---: |"]
    for paper, name, settings in NAMED:
        network = NETWORKS.get(name)(**settings)
        kind, parameters, macs = counted(network)
        text = ", ".join(f"{key} = {value!r}".lower().replace("'", '"') for key, value in settings.items())
        text = f"`{text}`" if text else ""
        rows.append(f"| {kind.replace('_', '-')} | `{name}` | {text} | {paper} | {parameters:,} | {macs:,} |")
    return "\n".join(rows)


def counted(network: Network) -> tuple[str, int, int]:
    """The kind of a network, and its parameters and multiply-accumulates between the ends of that kind."""
    (kind,) = network.kinds
    ends, shape = ENDS[kind]
    with torch.device("meta"):
        counts = size(network.build(ends).eval(), torch.empty(1, *shape))
    return kind, counts.parameters, counts.macs


def current() -> str:
    """The document, with the table as the code has it."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table()}\n\n{match[2]}", DOCUMENT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(current(), encoding="utf-8")

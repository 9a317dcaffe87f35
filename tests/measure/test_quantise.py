"""Quantised files have the same output on every processor: none of their products saturates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx.numpy_helper import to_array
from torch import Tensor, nn

from distillbench.bench.measure.onnx_export import export, session
from distillbench.bench.measure.quantise import Quantised, quantise
from distillbench.bench.store.exports import QUANTISATION, Artefact, Export


class Attention(nn.Module):
    """Two products of activations, between products with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(16, 48), nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.project(tokens).chunk(3, dim=-1)
        out: Tensor = self.out((query @ key.transpose(1, 2)).softmax(-1) @ value)
        return out


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "dense": lambda: (nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), torch.rand(32, 64)),
    "convolutions": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4)
        ),
        torch.rand(2, 3, 12, 12),
    ),
    "attention": lambda: (Attention(), torch.randn(4, 6, 16)),
}
PRODUCTS = {"MatMul", "Gemm", "Conv", "MatMulInteger", "ConvInteger"}


@cache
def small(name: str, form: Quantised) -> onnx.ModelProto:
    torch.manual_seed(0)
    model, inputs = NETWORKS[name]()
    return onnx.load_from_string(quantise(export(model, inputs[:1], [inputs]).content, form, [inputs.numpy()]))


def factors(proto: onnx.ModelProto) -> Iterator[NDArray[Any]]:
    """What unsigned bytes are multiplied by: weights, or of an activation the ends of its range."""
    made = {output: node for node in proto.graph.node for output in node.output}
    kept = {tensor.name: to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in PRODUCTS:
            name = node.input[1]
            source = made.get(name)
            if "Integer" in node.op_type:
                yield kept[name]
            elif source is not None and source.op_type == "DequantizeLinear":
                kind = np.iinfo(kept[source.input[2]].dtype)
                yield kept.get(source.input[0], np.array([kind.min, kind.max], kind.dtype))


def saturating(activations: NDArray[np.uint8], signed: NDArray[np.int8]) -> NDArray[np.int64]:
    """Products summed as vpmaddubsw does without VNNI: pairs in 16 bits, (m, 2k) × (2k, n)."""
    products = activations[:, :, None].astype(np.int64) * signed[None].astype(np.int64)
    pairs = products.reshape(len(activations), -1, 2, signed.shape[1]).sum(2)
    return pairs.clip(-(2**15), 2**15 - 1).sum(1)


@pytest.mark.parametrize("form", ["int8-dynamic", "int8-static"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_activations_saturate_a_product(name: str, form: Quantised) -> None:
    """The worst are 255 wherever two weights of one sign meet; which are paired is up to the kernel."""
    found = list(factors(small(name, form)))
    assert len(found) >= 2
    for array in (array for array in found if array.dtype != np.uint8):  # of two unsigned bytes no sum is in 16 bits
        assert array.dtype == np.int8
        for extreme in (array.min(), array.max()):
            pair = np.full((2, 1), extreme)
            assert saturating(np.full((1, 2), 255, np.uint8), pair) == 2 * 255 * int(extreme)


def test_all_eight_bits_would_saturate() -> None:
    """The reference of the processors on which they do, and what it gives for weights of 7 bits."""
    draws = np.random.default_rng(0)
    activations = draws.integers(128, 256, (8, 64), np.uint8)
    for largest, agrees in ((127, False), (64, True)):
        signed = draws.integers(-largest, largest + 1, (64, 32)).astype(np.int8)
        exact = activations.astype(np.int64) @ signed.astype(np.int64)
        assert np.array_equal(saturating(activations, signed), exact) is agrees


@pytest.mark.parametrize("form", ["int8-dynamic", "int8-static"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_quantised_file_is_nearly_the_network(name: str, form: Quantised) -> None:
    torch.manual_seed(0)
    model, inputs = NETWORKS[name]()
    with torch.no_grad():
        exact = model(inputs).numpy()
    (output,) = session(small(name, form).SerializeToString()).run(None, {"input": inputs.numpy()})
    assert 0 < np.abs(output - exact).max() < 0.05 * np.abs(exact).max()


def exported(**forms: Artefact) -> Export:
    artefacts: Any = {form.replace("_", "-"): artefact for form, artefact in forms.items()}
    return Export(task="t", pair="p", label="l", seed=0, config_hash="c", weights_sha256="w", artefacts=artefacts)


def test_an_export_that_may_saturate_is_read_and_made_again() -> None:
    older = exported(float32=Artefact(bytes=9), int8_static=Artefact(bytes=3))
    assert Export.model_validate(
        older.model_dump(mode="json", exclude={"artefacts": {"int8-static": {"quantisation"}}})
    )
    assert older.has(["float32"])
    assert not older.has(["float32", "int8-static"])
    newer = exported(float32=Artefact(bytes=9), int8_static=Artefact(bytes=3, quantisation=QUANTISATION))
    assert newer.has(["float32", "int8-static"])
    assert not newer.has(["int8-dynamic"])

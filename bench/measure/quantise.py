"""An ONNX file with 8-bit weights and activations, as ONNX Runtime makes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization

from distillbench.bench.measure.onnx_export import INPUT

Quantised = Literal["int8-dynamic", "int8-static"]
UNSIGNED = quantization.QuantType.QUInt8
SIGNED: Any = {"weight_type": quantization.QuantType.QInt8, "reduce_range": True}


class _Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[NDArray[np.float32]]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def quantise(content: bytes, form: Quantised, calibration: Sequence[NDArray[np.float32]]) -> bytes:
    """Quantise the matrix products and convolutions of an ONNX file to 8 bits.

    Signed weights are within ±64, and activations unsigned: x86 processors without VNNI add two products of an unsigned
    and a signed byte in 16 bits, which 2 · 255 · 64 does not overflow, and those of two unsigned ones in 32. So a file
    has the same output on every processor, whatever machine made it. With dynamic quantisation convolutions have
    unsigned weights: for signed ones ONNX Runtime has a slow kernel, or none.

    Args:
        content: The ONNX file in float32.
        form: With dynamic quantisation the range of activations is computed at each pass, with static quantisation it
            is fixed beforehand, to that of the calibration batches (Jacob et al. 2018, section 3).
        calibration: Batches of inputs, not of the test split.

    Raises:
        Exception: Whatever ONNX Runtime raises where it cannot quantise the file.
    """
    with TemporaryDirectory() as folder, _silent():
        full, prepared, dense, small = (str(Path(folder, f"{i}.onnx")) for i in range(4))
        Path(full).write_bytes(content)
        quantization.quant_pre_process(full, prepared, skip_symbolic_shape=True)
        _forget_shapes(prepared)
        if form == "int8-dynamic":
            quantization.quantize_dynamic(prepared, dense, op_types_to_quantize=["MatMul"], **SIGNED)
            quantization.quantize_dynamic(dense, small, op_types_to_quantize=["Conv"], weight_type=UNSIGNED)
        else:
            quantization.quantize_static(prepared, small, _Batches(calibration), activation_type=UNSIGNED, **SIGNED)
        return Path(small).read_bytes()


def _forget_shapes(path: str) -> None:
    """Delete inferred shapes: the quantiser transposes weights and infers shapes anew, which would contradict them."""
    proto = onnx.load(path)
    del proto.graph.value_info[:]
    onnx.save(proto, path)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the quantiser, which recommends on the root logger the pre-processing that was done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

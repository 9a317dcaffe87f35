"""An ONNX file with 8-bit weights and activations, as ONNX Runtime makes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnxruntime import quantization

from bench.measure.export import INPUT

Kind = Literal["int8-dynamic", "int8-static"]


class _Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[NDArray[np.float32]]) -> None:
        self.left = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.left, None)
        return None if batch is None else {INPUT: batch}


def quantise(content: bytes, kind: Kind, calibration: Sequence[NDArray[np.float32]]) -> bytes:
    """The file with its matrix products and convolutions in 8 bits. Raises whatever ONNX Runtime does where it cannot.

    kind: with dynamic quantisation the range of activations is found at each pass, with static quantisation it is fixed
    beforehand, to what the calibration batches span (Jacob et al. 2018, section 3). calibration: not of the test split.
    """
    with TemporaryDirectory() as folder, _silent():
        given, prepared, made = (str(Path(folder, f"{name}.onnx")) for name in ("given", "prepared", "made"))
        Path(given).write_bytes(content)
        quantization.quant_pre_process(given, prepared, skip_symbolic_shape=True)
        if kind == "int8-dynamic":
            quantization.quantize_dynamic(prepared, made, weight_type=quantization.QuantType.QInt8)
        else:
            quantization.quantize_static(
                prepared, made, _Batches(calibration), weight_type=quantization.QuantType.QInt8, per_channel=False
            )
        return Path(made).read_bytes()


@contextmanager
def _silent() -> Iterator[None]:
    """It recommends on the root logger what was done before."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

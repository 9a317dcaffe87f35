"""The backends that run a network, the precisions that each has, and the forms of an exported file."""

from __future__ import annotations

from typing import Literal, get_args

Backend = Literal["eager", "compile", "onnxruntime"]
Precision = Literal["float32", "bfloat16", "float16", "int8-dynamic", "int8-static"]
Quantised = Literal["int8-dynamic", "int8-static"]
Form = Literal["float32", Quantised]
"""The precision of an ONNX file."""

FORMS: tuple[Form, ...] = ("float32", *get_args(Quantised))
PRECISIONS: dict[Backend, tuple[Precision, ...]] = {
    "eager": ("float32", "bfloat16", "float16"),
    "compile": ("float32", "bfloat16", "float16"),
    "onnxruntime": FORMS,
}
"""The precisions of each backend."""
BACKENDS = tuple(PRECISIONS)
ALL_PRECISIONS: tuple[Precision, ...] = get_args(Precision)

"""The words that documents choose from, each set written once: as a type, and as a tuple in the order of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["teacher", "student", "baseline"]
"""What a record or a row of a table is of."""

Section = Literal["teacher", "control", "method", "baseline"]
"""The sections of a table: students are of controls, which are never ranked, or of methods."""
SECTIONS: tuple[Section, ...] = ("teacher", "control", "method", "baseline")

Compared = Literal["difference", "ratio"]
"""How two values of a metric are compared: by their difference, or by that of their logarithms, as a ratio."""

Quantised = Literal["int8-dynamic", "int8-static"]
Form = Literal["float32", Quantised]
"""Precisions in which a network is exported to ONNX."""
FORMS: tuple[Form, ...] = ("float32", "int8-dynamic", "int8-static")

Backend = Literal["eager", "compile", "onnxruntime"]
"""What runs a network that is timed."""
BACKENDS: tuple[Backend, ...] = ("eager", "compile", "onnxruntime")

Precision = Literal["float32", "bfloat16", "float16", "int8-dynamic", "int8-static"]
"""Number formats in which a network is timed."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "int8-dynamic", "int8-static")
BACKEND_PRECISIONS: Mapping[Backend, tuple[Precision, ...]] = {
    "eager": ("float32", "bfloat16", "float16"),
    "compile": ("float32", "bfloat16", "float16"),
    "onnxruntime": FORMS,
}
"""The number formats that each backend has."""

TimedNetwork = Literal["teacher", "student", "eager"]
"""Which network a sample of a time is of; eager: the student again, by eager PyTorch in float32, for comparison."""

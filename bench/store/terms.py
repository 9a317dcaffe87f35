"""The words that documents choose from, each set written once: as a type, and as a tuple in the order of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from distillbench.tasks.base import Role

ROLES: tuple[Role, Role] = ("teacher", "student")

Kind = Literal["teacher", "student", "baseline"]
"""What a record or a row of a table is of."""
KINDS: tuple[Kind, ...] = ("teacher", "student", "baseline")

Form = Literal["float32", "int8-dynamic", "int8-static"]
"""Precisions in which a network is exported to ONNX."""
FORMS: tuple[Form, ...] = ("float32", "int8-dynamic", "int8-static")

Backend = Literal["eager", "compile", "onnxruntime"]
"""What runs a network that is timed."""
BACKENDS: tuple[Backend, ...] = ("eager", "compile", "onnxruntime")

Precision = Literal["float32", "bfloat16", "float16", "int8-dynamic", "int8-static"]
"""Number formats in which a network is timed."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "int8-dynamic", "int8-static")

TimedNetwork = Literal["teacher", "student", "eager"]
"""Which network a sample of a time is of; eager: the student again, by eager PyTorch in float32, for comparison."""

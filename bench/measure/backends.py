"""A network made ready to be timed: eager, compiled, or by ONNX Runtime."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.errors import UserError, did_you_mean, one_line

LONGEST = 200
"""Characters of a reason."""


@dataclass(frozen=True)
class NotAvailable:
    """reason: why a network cannot be timed on a backend, here: one line."""

    reason: str


Prepared = Callable[[], object]


def prepare(backend: str, model: nn.Module, example: Tensor, threads: int = 1) -> Prepared | NotAvailable:
    """One forward pass of a model on the example's device, in eval mode, as a call without arguments.

    Export and compilation are done when this returns, and no part of what a call takes. threads: of ONNX Runtime, which
    has its own; torch's are the caller's to set. Raises UserError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise UserError(f"unknown backend {backend!r}{did_you_mean(backend, BACKENDS)}")
    return BACKENDS[backend](model.to(example.device).eval(), example, threads)


def _eager(model: Callable[[Tensor], object], example: Tensor, threads: int) -> Prepared:
    def call() -> object:
        with torch.inference_mode():
            return model(example)

    return call


def _compiled(model: nn.Module, example: Tensor, threads: int) -> Prepared | NotAvailable:
    if example.device.type == "cpu" and compiler() is None:
        return NotAvailable("no C++ compiler")
    call = _eager(torch.compile(model, dynamic=False), example, threads)
    try:
        call()
    except Exception as error:  # torch's compiler raises whatever its parts do
        return NotAvailable(f"cannot be compiled ({_first_line(error)})")
    return call


def compiler() -> str | None:
    """The C++ compiler that torch would call."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")):
        if found := shutil.which(name.split()[0]):
            return found
    return None


def _onnxruntime(model: nn.Module, example: Tensor, threads: int) -> Prepared | NotAvailable:
    try:
        from bench.measure.export import INPUT, export, session
    except ImportError as error:
        return NotAvailable(f"{error.name} is not installed")
    if example.device.type != "cpu":
        return NotAvailable("only on the CPU")
    exported = export(model, example[:1], [example])
    if exported.failure is not None:
        return NotAvailable(f"cannot be exported ({one_line(exported.failure)[:LONGEST]})")
    its, feed = session(exported.content, threads), {INPUT: example.numpy()}
    return lambda: its.run(None, feed)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__)[:LONGEST]


BACKENDS: dict[str, Callable[[nn.Module, Tensor, int], Prepared | NotAvailable]] = {
    "eager": _eager,
    "compile": _compiled,
    "onnxruntime": _onnxruntime,
}

"""A network made ready to be timed: eager, compiled, or by ONNX Runtime; in full precision, half, or quantised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distillbench.bench.measure.interleaving import Subject
from distillbench.common.errors import UserError, did_you_mean, one_line
from distillbench.tasks.base import read_only

LONGEST = 200
"""Characters of a reason."""
PRECISIONS = {
    "eager": ("float32", "bfloat16", "float16"),
    "compile": ("float32", "bfloat16", "float16"),
    "onnxruntime": ("float32", "int8-dynamic", "int8-static"),
}
"""Of each backend."""
UNTRAINED = 10.0
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class NotAvailable:
    """reason: why a network cannot be timed on a backend, here: one line."""

    reason: str


Content = Callable[[], bytes | NotAvailable]
"""The ONNX file that ONNX Runtime is to run: made when it is asked for."""


def obstacle(backend: str, precision: str, device: str) -> str | None:
    """Why no network at all can be timed so, here: one line; None where nothing is in the way.

    device: "cpu", "cuda" or "cuda:N". Raises UserError for an unknown backend, or a precision that it does not have.
    """
    if backend not in PRECISIONS:
        raise UserError(f"unknown backend {backend!r}{did_you_mean(backend, PRECISIONS)}")
    if precision not in PRECISIONS[backend]:
        raise UserError(f"{backend} has no precision {precision!r}{did_you_mean(precision, PRECISIONS[backend])}")
    on_cpu = device == "cpu"
    if backend == "onnxruntime":
        try:
            import onnxruntime
        except ImportError:
            return "onnxruntime is not installed"
        if precision != "float32" and not on_cpu:
            return "quantised networks run on the CPU alone"
        if not on_cpu and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return "this onnxruntime has no CUDA provider"
        return None
    if precision in HALF and not _has_half(precision, on_cpu):
        return f"this {'processor' if on_cpu else 'GPU'} has no {precision} arithmetic"
    return "no C++ compiler" if backend == "compile" and on_cpu and compiler() is None else None


def prepare(
    backend: str,
    model: nn.Module,
    example: Tensor,
    threads: int = 1,
    precision: str = "float32",
    content: Content | None = None,
) -> Subject | NotAvailable:
    """One forward pass of a model on the example's device, in eval mode, as a call without arguments.

    Export and compilation are done when this returns, and no part of what a call takes. threads: of ONNX Runtime, which
    has its own; torch's are the caller's to set. content: what ONNX Runtime is to run; default: the model, exported in
    float32. Raises UserError as ``obstacle`` does.
    """
    if (reason := obstacle(backend, precision, str(example.device))) is not None:
        return NotAvailable(reason)
    if backend == "onnxruntime":
        return _onnxruntime(content or (lambda: exported(model, example)), example, threads)
    model = read_only(model.to(example.device))
    if precision in HALF:
        model, example = model.to(HALF[precision]), example.to(HALF[precision])
    subject = _eager(model if backend == "eager" else torch.compile(model, dynamic=False), example)
    try:
        subject.call()
    except Exception as error:  # torch's compiler raises whatever its parts do, and not all is there in half precision
        return NotAvailable(f"cannot be {'run' if backend == 'eager' else 'compiled'} ({_first_line(error)})")
    return subject


def exported(model: nn.Module, example: Tensor) -> bytes | NotAvailable:
    """The model as ONNX, compared with eager on the example alone, and less strictly than what is deployed.

    It is to be timed, and may be untrained: a normalisation may then divide by next to nothing.
    """
    from distillbench.bench.measure.onnx_export import export

    example = example.cpu()
    found = export(model.cpu(), example[:1], [example], tolerance=UNTRAINED)
    if found.failure is not None:
        return NotAvailable(f"cannot be exported ({one_line(found.failure)[:LONGEST]})")
    return found.content


def compiler() -> str | None:
    """The C++ compiler that torch would call."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")):
        if found := shutil.which(name.split()[0]):
            return found
    return None


def _has_half(precision: str, on_cpu: bool) -> bool:
    """Whether the arithmetic is the processor's own: emulated it is slower, and nobody would deploy it."""
    if not on_cpu:
        return precision == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
    names = {"bfloat16": ("avx512_bf16", "amx_bf16"), "float16": ("avx512_fp16", "amx_fp16")}[precision]
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not there in every torch
    return any(bool(found.get(name)) for name in names)


def _eager(model: Callable[[Tensor], object], example: Tensor) -> Subject:
    def call() -> object:
        with torch.inference_mode():
            return model(example)

    return Subject(call, str(example.device))


def _onnxruntime(content: Content, example: Tensor, threads: int) -> Subject | NotAvailable:
    from distillbench.bench.measure.onnx_export import INPUT, OUTPUT, session

    if isinstance(model := content(), NotAvailable):
        return model
    its = session(model, threads, str(example.device))
    if example.device.type == "cpu":
        feed = {INPUT: example.numpy()}
        return Subject(lambda: its.run(None, feed))
    # Input and output stay on the GPU; the call returns when it is done, so that the clock sees all of it.
    binding, index = its.io_binding(), example.device.index or 0
    example = example.contiguous()
    torch.cuda.synchronize(example.device)
    binding.bind_input(INPUT, "cuda", index, example.numpy(force=True).dtype, tuple(example.shape), example.data_ptr())
    binding.bind_output(OUTPUT, "cuda", index)

    def call(kept: Tensor = example) -> None:
        its.run_with_iobinding(binding)

    return Subject(call)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__)[:LONGEST]

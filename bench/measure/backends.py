"""A network made ready to be timed: eager, compiled, or by ONNX Runtime; in full precision, half, or quantised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn

from distillbench.bench.measure.failures import LONGEST, NotAvailable, failure_line
from distillbench.bench.measure.interleaving import Workload
from distillbench.bench.store.terms import FORMS, Backend, Precision
from distillbench.common.errors import UserError, did_you_mean, one_line
from distillbench.tasks.base import read_only

UNTRAINED = 10.0
"""Tolerance of an untrained network's export, in units of that of a deployed one."""
SUPPORTED: dict[Backend, tuple[Precision, ...]] = {
    "eager": ("float32", "bfloat16", "float16"),
    "compile": ("float32", "bfloat16", "float16"),
    "onnxruntime": FORMS,
}
"""The precisions of each backend."""
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}

Content = Callable[[], bytes | NotAvailable]
"""The ONNX file that ONNX Runtime runs: made when it is asked for."""


def obstacle(backend: str, precision: str, device: str) -> str | None:
    """Return why no network at all can be timed under a condition on this machine.

    Args:
        backend: One of ``BACKENDS``.
        precision: One of the precisions that the backend supports.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        One line; None where nothing is in the way.

    Raises:
        UserError: The backend is unknown, or has no such precision.
    """
    supported = next((precisions for name, precisions in SUPPORTED.items() if name == backend), None)
    if supported is None:
        raise UserError(f"unknown backend {backend!r}{did_you_mean(backend, SUPPORTED)}")
    if precision not in supported:
        guess = did_you_mean(precision, supported)
        raise UserError(f"backend {backend!r} does not support precision {precision!r}{guess}")
    on_cpu = device == "cpu"
    if backend == "onnxruntime":
        return _obstacle_of_onnxruntime(precision, on_cpu)
    if precision in HALF and not _has_half(precision, on_cpu):
        return f"this {'processor' if on_cpu else 'GPU'} has no {precision} arithmetic"
    return "no C++ compiler" if backend == "compile" and on_cpu and compiler() is None else None


def _obstacle_of_onnxruntime(precision: str, on_cpu: bool) -> str | None:
    try:
        import onnxruntime
    except ImportError:
        return "onnxruntime is not installed"
    if precision != "float32" and not on_cpu:
        return "quantised networks run on the CPU only"
    if not on_cpu and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA provider"
    return None


def prepare(
    backend: str,
    model: nn.Module,
    example: Tensor,
    threads: int = 1,
    precision: str = "float32",
    content: Content | None = None,
) -> Workload | NotAvailable:
    """Prepare one forward pass of a model in eval mode as a call without arguments; export and compilation are done.

    Args:
        backend: One of ``BACKENDS``.
        model: The network; it is moved to the example's device.
        example: A batch of inputs on the device that is timed.
        threads: Threads of ONNX Runtime; torch's are the caller's to set.
        precision: One of the precisions that the backend supports.
        content: The ONNX file for ONNX Runtime; default: the model, exported in float32.

    Raises:
        UserError: The backend is unknown, or has no such precision.
    """
    if (reason := obstacle(backend, precision, str(example.device))) is not None:
        return NotAvailable(reason)
    if backend == "onnxruntime":
        return _onnxruntime(content or (lambda: exported(model, example)), example, threads)
    model = read_only(model.to(example.device))
    if precision in HALF:
        model, example = model.to(HALF[precision]), example.to(HALF[precision])
    workload = _eager(model if backend == "eager" else torch.compile(model, dynamic=False), example)
    try:
        workload.call()
    except Exception as error:  # torch's compiler raises whatever its parts do, and not all is there in half precision
        return NotAvailable(f"cannot be {'run' if backend == 'eager' else 'compiled'} ({failure_line(error)})")
    return workload


def exported(model: nn.Module, example: Tensor) -> bytes | NotAvailable:
    """Export a model to ONNX in order to time it, and compare it with eager on the example.

    The comparison is less strict than for deployment: an untrained normalisation may divide by next to nothing.

    Args:
        model: The network; it is moved to the CPU.
        example: A batch of inputs.
    """
    from distillbench.bench.measure.onnx_export import export

    example = example.cpu()
    result = export(model.cpu(), example[:1], [example], tolerance=UNTRAINED)
    if result.failure is not None:
        return NotAvailable(f"cannot be exported ({one_line(result.failure)[:LONGEST]})")
    return result.content


def compiler() -> str | None:
    """Return the path of the C++ compiler that torch would call."""
    names = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))
    return next((path for name in names if (path := shutil.which(name.split()[0]))), None)


def _has_half(precision: str, on_cpu: bool) -> bool:
    """Whether the arithmetic is the processor's own: emulated it is slower, and nobody would deploy it."""
    if not on_cpu:
        return precision == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
    names = {"bfloat16": ("avx512_bf16", "amx_bf16"), "float16": ("avx512_fp16", "amx_fp16")}[precision]
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    return any(bool(capabilities.get(name)) for name in names)


def _eager(model: Callable[[Tensor], object], example: Tensor) -> Workload:
    def call() -> object:
        with torch.inference_mode():
            return model(example)

    return Workload(call, str(example.device))


def _onnxruntime(content: Content, example: Tensor, threads: int) -> Workload | NotAvailable:
    from distillbench.bench.measure.onnx_export import INPUT, OUTPUT, session

    if isinstance(model := content(), NotAvailable):
        return model
    runtime = session(model, threads, str(example.device))
    if example.device.type == "cpu":
        feed = {INPUT: example.numpy()}
        return Workload(lambda: runtime.run(None, feed))
    # Input and output stay on the GPU; the call returns when it is done, so that the clock sees all of it.
    binding, index = runtime.io_binding(), example.device.index or 0
    example = example.contiguous()
    torch.cuda.synchronize(example.device)
    binding.bind_input(INPUT, "cuda", index, example.numpy(force=True).dtype, tuple(example.shape), example.data_ptr())
    binding.bind_output(OUTPUT, "cuda", index)

    def call(alive: Tensor = example) -> None:
        runtime.run_with_iobinding(binding)

    return Workload(call)

"""Export of a network to ONNX, checked, and compared with the network itself in eager PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distillbench.bench.measure.failures import failure_line

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""An output may differ from eager's by ABSOLUTE + RELATIVE · (the largest output of its batch).

A float32 has a relative precision of 6e-8; sums of some hundred products in another order, layer after layer, differ
by some hundred times that. A level of an 8-bit image is 4e-3.
"""
TOLERANCE = f"{ABSOLUTE:.0e} + {RELATIVE:.0e} × the largest output"
INPUT, OUTPUT = "input", "output"
Range = tuple[float, float]


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from eager.

    Attributes:
        examples: How many inputs were compared.
        absolute: The largest difference.
        relative: The largest difference, relative to the largest output of its batch.
    """

    examples: int
    absolute: float
    relative: float


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        content: The ONNX file.
        opset: Version of its operators.
        operators: How often each operator occurs.
        input_shape: A name in place of a number is an axis of any length; so in ``output_shape``.
        output_shape: Of the output.
        input_range: Of the inputs that were compared.
        output_range: Of eager's outputs for them.
        parity: How far ONNX Runtime is from eager.
        failure: Why the file cannot be used, in one line; None where it can.
    """

    content: bytes = b""
    opset: int = 0
    operators: Mapping[str, int] | None = None
    input_shape: tuple[int | str, ...] = ()
    output_shape: tuple[int | str, ...] = ()
    input_range: Range = (0.0, 0.0)
    output_range: Range = (0.0, 0.0)
    parity: Parity | None = None
    failure: str | None = None


def export(
    model: nn.Module,
    example: Tensor,
    inputs: Sequence[Tensor],
    metadata: Mapping[str, str] | None = None,
    tolerance: float = 1.0,
) -> Exported:
    """Export a model to ONNX with a batch axis of any length, and sides of any length where the model takes any.

    Nothing is raised for a model that cannot be exported: its failure is the result.

    Args:
        model: On the CPU; its mode is set to eval.
        example: One input, batch size 1.
        inputs: Batches to compare on, of any size that the model takes.
        metadata: Kept in the file.
        tolerance: Of the difference, in units of that of a deployed network.
    """
    try:
        model.eval()
        return compared(_converted(model, example, metadata or {}), model, inputs, tolerance)
    except Exception as error:  # the export of a network may fail in any way
        return Exported(failure=failure_line(error))


def session(content: bytes, threads: int = 1, device: str = "cpu") -> onnxruntime.InferenceSession:
    """Load an ONNX file into ONNX Runtime.

    Args:
        content: The file.
        threads: Within an operator; operators run one after the other.
        device: "cpu", "cuda" or "cuda:N".
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if device == "cpu":
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    index = device.partition(":")[2] or "0"
    return onnxruntime.InferenceSession(content, options, providers=[("CUDAExecutionProvider", {"device_id": index})])


def _converted(model: nn.Module, example: Tensor, metadata: Mapping[str, str]) -> onnx.ModelProto:
    axes = {0: "batch"} | ({2: "height", 3: "width"} if _takes_any_size(model, example) else {})
    # The exporter would take a batch size of one for a constant.
    batch = example[:1].expand(2, *example.shape[1:]).clone()
    with _silent(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (batch,),
            dynamo=True,
            dynamic_shapes=(axes,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def compared(proto: onnx.ModelProto, model: nn.Module, inputs: Sequence[Tensor], tolerance: float = 1.0) -> Exported:
    """Compare an ONNX file with the model that it was made from.

    Args:
        proto: The file.
        model: The model in eval mode, on the CPU.
        inputs: Batches to compare on.
        tolerance: Of the difference, in units of that of a deployed network.

    Raises:
        ValueError: The outputs have another shape, or are not finite.
    """
    content = proto.SerializeToString()
    runtime = session(content)
    absolute = relative = excess = 0.0
    ins, outs = [], []
    for batch in inputs:
        with torch.no_grad():
            eager: NDArray[np.float32] = model(batch).numpy()
        output = runtime.run([OUTPUT], {INPUT: batch.numpy()})[0]
        if output.shape != eager.shape:
            raise ValueError(f"the output has shape {output.shape}, eager's has {eager.shape}")
        if not (np.isfinite(output).all() and np.isfinite(eager).all()):
            raise ValueError("the output is not finite")
        distance, largest = float(np.abs(output - eager).max()), float(np.abs(eager).max())
        absolute, relative = max(absolute, distance), max(relative, distance / largest if largest else 0.0)
        excess = max(excess, distance / (ABSOLUTE + RELATIVE * largest))
        ins.append((float(batch.min()), float(batch.max())))
        outs.append((float(eager.min()), float(eager.max())))
    difference = f"{absolute:.1e} ({relative:.1e} of the largest output; allowed: {TOLERANCE})"
    return Exported(
        content=content,
        opset=next(entry.version for entry in proto.opset_import if entry.domain == ""),
        operators=dict(Counter(node.op_type for node in proto.graph.node).most_common()),
        input_shape=tuple(runtime.get_inputs()[0].shape),
        output_shape=tuple(runtime.get_outputs()[0].shape),
        input_range=_union(ins),
        output_range=_union(outs),
        parity=Parity(sum(map(len, inputs)), absolute, relative),
        failure=None if excess <= tolerance else f"ONNX Runtime differs from eager by {difference}",
    )


def _union(ranges: Sequence[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


@torch.no_grad()
def _takes_any_size(model: nn.Module, example: Tensor) -> bool:
    """Whether a model takes larger images than the example, here twice as high and three times as wide."""
    if example.ndim != 4:
        return False
    try:
        model(example[:1].repeat(1, 1, 2, 3))
    except Exception:  # whatever a network raises for a size that it cannot take
        return False
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the exporter, which reports packages that it could have used."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

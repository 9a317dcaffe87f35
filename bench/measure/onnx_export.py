"""A network as ONNX: exported, checked, and compared with what it was exported from."""

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

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""So far may an output be from eager's: ABSOLUTE + RELATIVE · (the largest output of its batch).

A float32 has a relative precision of 6e-8; sums of some hundred products in another order, layer after layer, differ
by some hundred times that. A level of an 8-bit image is 4e-3.
"""
TOLERANCE = f"{ABSOLUTE:.0e} + {RELATIVE:.0e} × the largest output"
INPUT, OUTPUT = "input", "output"
Range = tuple[float, float]


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from eager on some examples. relative: to the largest output of the same batch."""

    examples: int
    absolute: float
    relative: float


@dataclass(frozen=True)
class Exported:
    """What came of an export. failure: why there is nothing to use, in a line; None where it can be used.

    content: the ONNX file. operators: how often each is there. shapes: a name in place of a number for an axis of any
    length. ranges: of the test inputs, and of eager's outputs for them.
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
    """The model as ONNX with a batch axis of any length, and sides of any length where it takes any.

    model: on the CPU; its mode is set to eval. example: one input, batch size 1. inputs: batches to compare on, of any
    size that the model takes. metadata: kept in the file. tolerance: of the difference, in units of what is allowed a
    network that is deployed. Nothing is raised for a model that cannot be exported.
    """
    try:
        model.eval()
        return compared(_exported(model, example, metadata or {}), model, inputs, tolerance)
    except Exception as error:  # a network may be impossible to export in any way; that it is, is the result
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Exported(failure=f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}")


def session(content: bytes, threads: int = 1, device: str = "cpu") -> onnxruntime.InferenceSession:
    """device: "cpu", "cuda" or "cuda:N"."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if device == "cpu":
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    index = device.partition(":")[2] or "0"
    return onnxruntime.InferenceSession(content, options, providers=[("CUDAExecutionProvider", {"device_id": index})])


def _exported(model: nn.Module, example: Tensor, metadata: Mapping[str, str]) -> onnx.ModelProto:
    axes = {0: "batch"} | ({2: "height", 3: "width"} if _takes_any_size(model, example) else {})
    # A batch of one would be taken for a constant.
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
    """What there is to say of a file, beside the model that it was made from. ValueError where it is something else."""
    content = proto.SerializeToString()
    its = session(content)
    absolute = relative = excess = 0.0
    ins, outs = [], []
    for batch in inputs:
        with torch.no_grad():
            wanted: NDArray[np.float32] = model(batch).numpy()
        found = its.run([OUTPUT], {INPUT: batch.numpy()})[0]
        if found.shape != wanted.shape:
            raise ValueError(f"the output is {found.shape}, eager's {wanted.shape}")
        if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
            raise ValueError("the output is not finite")
        distance, largest = float(np.abs(found - wanted).max()), float(np.abs(wanted).max())
        absolute, relative = max(absolute, distance), max(relative, distance / largest if largest else 0.0)
        excess = max(excess, distance / (ABSOLUTE + RELATIVE * largest))
        ins.append((float(batch.min()), float(batch.max())))
        outs.append((float(wanted.min()), float(wanted.max())))
    return Exported(
        content=content,
        opset=next(entry.version for entry in proto.opset_import if entry.domain == ""),
        operators=dict(Counter(node.op_type for node in proto.graph.node).most_common()),
        input_shape=tuple(its.get_inputs()[0].shape),
        output_shape=tuple(its.get_outputs()[0].shape),
        input_range=_union(ins),
        output_range=_union(outs),
        parity=Parity(sum(map(len, inputs)), absolute, relative),
        failure=None
        if excess <= tolerance
        else f"ONNX Runtime is {absolute:.1e} from eager ({relative:.1e} of the largest output; allowed: {TOLERANCE})",
    )


def _union(ranges: Sequence[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


@torch.no_grad()
def _takes_any_size(model: nn.Module, example: Tensor) -> bool:
    """Whether it takes images of another size than the example's: one that is larger by whole numbers."""
    if example.ndim != 4:
        return False
    try:
        model(example[:1].repeat(1, 1, 2, 3))
    except Exception:  # whatever a network says to a size that it cannot take
        return False
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """The exporter tells of packages that it could have used."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

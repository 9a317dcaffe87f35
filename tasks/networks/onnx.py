"""A teacher that is an ONNX file, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, UnfitError


class Onnx(Network):
    """A teacher that is an ONNX file of one input and one output. It has no gradient, and is not trained.

    It runs on the CPU, on one thread, with the batch that the file allows.
    """

    name: Literal["onnx"] = "onnx"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier", "super_resolver", "denoiser", "styliser"})
    trainable: ClassVar[bool] = False
    file: Path = Field(description="an ONNX file of one input and one output, float32")

    def build(self, ends: Ends) -> nn.Module:
        content = self.file.read_bytes() if self.file.is_file() else b""
        if external := _external(content):
            raise UnfitError(f"{self.file} stores {external} in another file (allowed: all in one file)")
        model = OnnxModel(content, str(self.file))
        expected = [None, *ends.takes]
        if len(model.shape) != len(expected) or any(
            a is not None and b is not None and a != b for a, b in zip(model.shape, expected, strict=True)
        ):
            raise UnfitError(f"{self.file} takes inputs of {_text(model.shape)} (expected {_text(expected)})")
        return model


class OnnxModel(nn.Module):
    """A module that runs an ONNX graph of one input and one output; each copy has a session.

    Args:
        content: the bytes of the file.
        file: its name, for messages.
    """

    def __init__(self, content: bytes, file: str) -> None:
        super().__init__()
        self.content, self.file = content, file
        self._open()

    def _open(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises errors of its own
            reason = " ".join(str(error).split())[:200]
            raise UnfitError(f"{self.file} cannot be read as an ONNX file ({reason})") from error
        takes, gives = self.session.get_inputs(), self.session.get_outputs()
        if len(takes) != 1 or len(gives) != 1 or takes[0].type != "tensor(float)":
            counts = f"{len(takes)} inputs ({', '.join(i.type for i in takes)}) and {len(gives)} outputs"
            raise UnfitError(f"{self.file} has {counts} (allowed: one of each, float32)")
        self.takes = takes[0].name
        self.shape = [side if isinstance(side, int) else None for side in takes[0].shape]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._open()

    def forward(self, inputs: Tensor) -> Tensor:
        batch = self.shape[0] or len(inputs)
        outputs = [self._run(part, batch) for part in inputs.detach().cpu().split(batch)]
        return torch.cat(outputs).to(inputs.device)

    def _run(self, inputs: Tensor, batch: int) -> Tensor:
        """Run a batch of the file's length: fill it up with zeros, and cut their outputs off."""
        missing = inputs.new_zeros(batch - len(inputs), *inputs.shape[1:])
        (outputs,) = self.session.run(None, {self.takes: torch.cat([inputs, missing]).numpy()})
        return torch.from_numpy(outputs)[: len(inputs)]


def _external(content: bytes) -> str | None:
    """Return the first tensor that is stored in another file, which no digest would cover."""
    import onnx

    try:
        graph = onnx.load_from_string(content).graph
    except Exception:  # not a graph: reported where it is opened
        return None
    return next((t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL), None)


def _text(shape: list[int | None]) -> str:
    return "×".join("any" if side is None else str(side) for side in shape)

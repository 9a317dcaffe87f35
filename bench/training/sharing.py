"""What all learners of a step share: the inputs, and each frozen teacher's responses. Nobody may write to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from distillbench.bench.training.clock import now
from distillbench.tasks.base import Inputs, Outputs
from distillbench.tasks.response import Responses


class InPlaceError(RuntimeError):
    """A network or a method wrote to a tensor that it shares with others; the message names the tensor."""


def in_place(subject: str, name: str) -> str:
    """Return the message about an in-place write, with the remedy.

    Args:
        subject: who writes to what, up to the name, such as "the network writes to its input".
        name: the name of the tensor.
    """
    return f"{subject} {name!r} in place, as x.sub_(…) does (allowed: a new tensor, as x = x - …)"


@dataclass
class WriteGuard:
    """Tells whether somebody has written to tensors; torch counts the writes to each, so that asking costs nothing."""

    tensors: Mapping[str, Tensor]
    _versions: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._versions = self._count()

    def _count(self) -> tuple[int, ...]:
        # Tensors of torch.inference_mode have no count: torch itself refuses to write to them.
        return tuple(0 if tensor.is_inference() else tensor._version for tensor in self.tensors.values())

    def written(self) -> str | None:
        """Return the name of the first tensor that was written to; None where there is none."""
        versions = zip(self.tensors, self._versions, self._count(), strict=True)
        return next((name for name, before, after in versions if before != after), None)


@dataclass(frozen=True)
class Batch:
    """The inputs of one step.

    Attributes:
        supervised: with ground truth, which the task's own objective sees.
        transfer: of the transfer set, without ground truth; None where there is none.
        targets: ``supervised`` with what the task's own objective compares with (``Task.with_targets``); None where
            nobody shares it.
        seconds: the time that drawing the first and the second took.
    """

    supervised: Inputs
    transfer: Inputs | None = None
    targets: Inputs | None = None
    seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def objective(self) -> Inputs:
        """What the task's own objective sees."""
        return self.supervised if self.targets is None else self.targets

    @cached_property
    def whole(self) -> Inputs:
        """What distillation sees: the supervised rows, then those of the transfer set, as far as both have a tensor."""
        if self.transfer is None:
            return self.supervised
        shared = [name for name in self.supervised if name in self.transfer]
        return {name: torch.cat([self.supervised[name], self.transfer[name]]) for name in shared}

    def supervised_rows(self, outputs: Outputs) -> Outputs:
        """Return the outputs of a pass over ``whole`` for the supervised rows alone."""
        if self.transfer is None:
            return outputs
        return _first_rows(outputs, _rows(self.supervised))

    def rows(self, whole: bool) -> int:
        """Return the number of examples, of the transfer set too where ``whole`` says so."""
        return _rows(self.supervised) + (_rows(self.transfer) if whole and self.transfer is not None else 0)

    def draw_seconds(self, whole: bool) -> float:
        """Return the time that drawing them took, with or without those of the transfer set."""
        return sum(self.seconds if whole else self.seconds[:1])


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))


def _first_rows(outputs: Outputs, count: int) -> Outputs:
    return {
        name: _first_rows(value, count) if isinstance(value, Mapping) else value[:count]
        for name, value in outputs.items()
    }


@dataclass
class Shared:
    """The tensors that all learners of one step share.

    Attributes:
        batch: the inputs of the step.
        responses: the responses of each teacher, by a key.
        faults: the keys of teachers that failed, or wrote to the inputs, with the error.
        target_seconds: the time that the targets of the task's own objective took.
        seconds: the time that each teacher's responses took, by the key.
    """

    batch: Batch
    responses: Mapping[int, Responses]
    faults: Mapping[int, Exception]
    target_seconds: float
    seconds: Mapping[int, float]

    def __post_init__(self) -> None:
        self._inputs = WriteGuard(dict(_all_inputs(self.batch)))
        self._responses = [WriteGuard(dict(_tensors(responses))) for responses in self.responses.values()]

    def responses_of(self, key: int) -> Responses | None:
        """Return a teacher's responses, None for a key without any.

        Raises:
            Exception: what the teacher failed with; InPlaceError where it wrote to the inputs.
        """
        if key in self.faults:
            raise self.faults[key]
        return self.responses.get(key)

    def fault(self) -> str | None:
        """Return one line about what somebody has written to; None where nobody has."""
        if (name := self._inputs.written()) is not None:
            return in_place("the network writes to its input", name)
        name = next((name for guard in self._responses if (name := guard.written()) is not None), None)
        return None if name is None else in_place("the method writes to the teacher's response", name)


def share(
    draw: Callable[[], Batch],
    teachers: Mapping[int, Callable[[Inputs], Responses]],
    with_targets: Callable[[Inputs], Inputs] | None = None,
) -> Shared:
    """Draw the inputs of a step and ask every teacher once.

    Args:
        draw: returns the inputs, the same at each call.
        teachers: a function from inputs to a teacher's responses, by a key.
        with_targets: adds what the task's own objective compares with; None where no learner minimises it.
    """
    batch, responses, faults, seconds = draw(), dict[int, Responses](), dict[int, Exception](), dict[int, float]()
    for key, respond in teachers.items():
        guard = WriteGuard(batch.whole)
        start = now()
        try:
            responses[key] = respond(batch.whole)
        except Exception as error:  # those that compare with it fail, and no others
            faults[key] = error
        seconds[key] = now() - start
        if (name := guard.written()) is not None:
            faults[key] = InPlaceError(in_place("the teacher writes to its input", name))
            batch = draw()
    start = now()
    if with_targets is not None and (targets := with_targets(batch.supervised)) is not batch.supervised:
        batch = replace(batch, targets=targets)
    return Shared(batch, responses, faults, now() - start, seconds)


def _all_inputs(batch: Batch) -> Iterator[tuple[str, Tensor]]:
    yield from batch.supervised.items()
    for name, tensor in batch.whole.items():
        if tensor is not batch.supervised[name]:
            yield f"{name}, transfer set included", tensor
    for name, tensor in batch.objective.items():
        if name not in batch.supervised:
            yield name, tensor


def _tensors(responses: Responses) -> Iterator[tuple[str, Tensor]]:
    for name, response in responses.items():
        for part in fields(response):
            if isinstance(value := getattr(response, part.name), Tensor):
                yield (name if part.name == "values" else f"{name}.{part.name}"), value

"""What all learners of a step share: its inputs, and what each frozen teacher says of them. Nobody may write to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from torch import Tensor

from distillbench.tasks.base import Inputs
from distillbench.tasks.response import Responses


class InPlaceError(RuntimeError):
    """A network or a method wrote to what it shares with others; one line that says to what."""


def in_place(subject: str, name: str) -> str:
    """What is wrong, and what to do."""
    return f"{subject} {name!r} in place, as x.sub_(…) does (allowed: a new tensor, as x = x - …)"


@dataclass
class Watch:
    """Tensors that nobody may write to. torch counts what is written to each, so that a look costs nothing."""

    tensors: Mapping[str, Tensor]
    _versions: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._versions = tuple(tensor._version for tensor in self.tensors.values())

    def written(self) -> str | None:
        """The name of the first that was written to."""
        versions = zip(self.tensors.items(), self._versions, strict=True)
        return next((name for (name, tensor), version in versions if tensor._version != version), None)


@dataclass
class Shared:
    """inputs: of one step. responses: of each frozen teacher, by a key. faults: of teachers that wrote to inputs."""

    inputs: Inputs
    responses: Mapping[int, Responses]
    faults: Mapping[int, str]

    def __post_init__(self) -> None:
        self._inputs = Watch(self.inputs)
        self._responses = [Watch(dict(_tensors(responses))) for responses in self.responses.values()]

    def fault(self) -> str | None:
        """What somebody has written to, in a line; None where nobody has."""
        if (name := self._inputs.written()) is not None:
            return in_place("the network writes to its input", name)
        name = next((name for watch in self._responses if (name := watch.written()) is not None), None)
        return None if name is None else in_place("the method writes to the teacher's response", name)


def share(draw: Callable[[], Inputs], teachers: Mapping[int, Callable[[Inputs], Responses]]) -> Shared:
    """Ask every teacher once.

    draw: gives the inputs of the step, the same at each call. teachers: what each says of inputs, by a key.
    """
    inputs, responses, faults = draw(), dict[int, Responses](), dict[int, str]()
    for key, respond in teachers.items():
        watch = Watch(inputs)
        responses[key] = respond(inputs)
        if (name := watch.written()) is not None:
            faults[key] = in_place("the teacher writes to its input", name)
            inputs = draw()
    return Shared(inputs, responses, faults)


def _tensors(responses: Responses) -> Iterator[tuple[str, Tensor]]:
    for name, response in responses.items():
        for part in fields(response):
            if isinstance(value := getattr(response, part.name), Tensor):
                yield (name if part.name == "values" else f"{name}.{part.name}"), value

"""What a driver and its workers tell each other, and how it passes through a pipe."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """A job that ended: with a result, or with an error."""

    id: str
    result: T | None
    error: BaseException | None


@dataclass(frozen=True)
class Progress:
    """A job that goes on."""

    id: str
    step: int
    steps: int


@dataclass(frozen=True)
class Lost:
    """A job whose worker died, and that is tried once more."""

    id: str
    reason: str


def send(stream: BinaryIO, message: Any) -> None:
    """Pickled twice: who takes it off the stream need not import what it speaks of."""
    pickle.dump(pickle.dumps(message), stream)
    stream.flush()


def receive(stream: BinaryIO) -> bytes:
    """The next message, for ``pickle.loads``. Raises EOFError when there will be none."""
    message: bytes = pickle.load(stream)
    return message

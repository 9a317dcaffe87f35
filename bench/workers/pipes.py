"""How messages pass through the pipe between a driver and a worker."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO


def send(stream: BinaryIO, message: Any) -> None:
    """Write a message, pickled twice: the receiver takes it off the stream without importing what it is made of."""
    pickle.dump(pickle.dumps(message), stream)
    stream.flush()


def receive(stream: BinaryIO) -> bytes:
    """Read the next message, for ``pickle.loads``.

    Raises:
        EOFError: The stream is closed.
    """
    message: bytes = pickle.load(stream)
    return message

"""Stopping a command from outside: by a signal, or because nobody reads what it prints any more."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CLOSED = 128 + 13
"""The exit code of a process that writes into a closed pipe (SIGPIPE)."""


class Stopped(BaseException):
    """The command must end. Not an Exception: whatever handles failures must not catch it.

    Args:
        code: the exit code, by convention.
    """

    def __init__(self, code: int) -> None:
        self.code = code


@contextmanager
def signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal raise Stopped in the main thread; a second one ends the process at once.

    A signal that is ignored (nohup, a shell's background job) stays ignored.
    """
    caught = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in caught}

    def stop(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(128 + number)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_reader() -> None:
    """Raise Stopped where standard output is a pipe that nobody reads any more (``| head -1``)."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # replaced by something that is no file
        return
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise Stopped(CLOSED)


def silence() -> None:
    """Discard what is still printed, so that the interpreter does not fail at its end because of the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

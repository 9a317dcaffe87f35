"""A lock for the machine: nothing may be timed while something else is timed or trained there."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distillbench.common.errors import UserError, one_line
from distillbench.common.paths import expanded

FOLDER = Path("/tmp")
"""Not ``TMPDIR``: every user of the machine must find the same file."""
NAME = "distillbench.lock"
LONGEST = 200
"""Characters of the description of who holds the lock."""
VARIABLE = "DISTILLBENCH_LOCK"
"""The environment variable that names another file, where machines that share a file system do not share processors."""


@contextmanager
def alone_on_the_machine(path: Path | None = None) -> Iterator[None]:
    """Hold the machine's lock alone, to time.

    The lock is the kernel's (flock): it is free when its holder has ended, in whatever way. The file names its holder,
    and is never removed: otherwise two processes could each hold "the" lock.

    Args:
        path: the file; default: that of the machine.

    Raises:
        UserError: another process holds it; the message names the process.
    """
    with _held(path, fcntl.LOCK_EX, "timing would disturb or be disturbed"):
        yield


@contextmanager
def busy_on_the_machine(path: Path | None = None) -> Iterator[None]:
    """Share the machine's lock with other processes that train. Raises UserError where a process times."""
    with _held(path, fcntl.LOCK_SH, "training would disturb what is timed"):
        yield


@contextmanager
def _held(path: Path | None, kind: int, why: str) -> Iterator[None]:
    if path is None:
        usual = (FOLDER if FOLDER.is_dir() else Path(tempfile.gettempdir())) / NAME
        path = expanded(os.environ.get(VARIABLE) or usual)
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = one_line(_text(descriptor)).strip() or "another process"
            raise UserError(f"the machine is in use, {why}: {holder}") from None
        program, *arguments = sys.argv
        holder = f"process {os.getpid()}: {' '.join([Path(program).name, *arguments])}"[:LONGEST]
        _write(descriptor, holder)  # of several that train, the last one
        try:
            yield
        finally:
            if _text(descriptor) == holder:
                _write(descriptor, "")
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also of copies that a fork has left in other processes
    finally:
        os.close(descriptor)


def _text(descriptor: int) -> str:
    return os.pread(descriptor, 4 * LONGEST, 0).decode(errors="replace")


def _open(path: Path) -> int:
    """The file's descriptor; reading is enough to lock. A shared folder refuses O_CREAT for another user's file."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | flags, 0o666)
            with suppress(OSError):
                os.fchmod(descriptor, 0o666)  # whatever the umask, for the next user
        except FileExistsError:
            try:
                descriptor = os.open(path, os.O_RDWR | flags)
            except PermissionError:
                descriptor = os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        raise UserError(f"the machine's lock cannot be opened ({error.strerror})", path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError("the machine's lock is not a regular file", path)
    return descriptor


def _write(descriptor: int, text: str) -> None:
    with suppress(OSError):  # opened to read alone: another user's file
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="replace"), 0)

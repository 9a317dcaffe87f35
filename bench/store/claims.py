"""Claims: who makes what at the moment, of several runs that share a folder.

A claim is a file that names its process and is touched as long as that lives. Claims save work and decide nothing: what
two processes make of one configuration is equal, and files are written whole, so that a claim that is lost costs time
alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal

from distillbench.bench.machine.process import ProcessIdentity, this_process
from distillbench.bench.store import documents
from distillbench.bench.store.documents import Part
from distillbench.common.errors import UserError

FOLDER = "claims"
SCHEMA_VERSION = 1
RUN = "run"
"""What the claim of a whole run says that it makes."""
BEAT_EVERY = 10.0
"""Seconds between two touches of a claim."""
SILENT = 120.0
"""Seconds without a touch after which a claim of another machine counts as left behind."""


class Claim(Part):
    """Who makes something.

    Attributes:
        what: is made.
        share: of a run, whether others may work beside it.
        since: when that began.
    """

    schema_version: Literal[1] = 1
    what: str
    share: bool = True
    host: str
    pid: int
    started: float
    since: datetime

    @property
    def holder(self) -> ProcessIdentity:
        """The process."""
        return ProcessIdentity(self.host, self.pid, self.started)

    @property
    def order(self) -> tuple[datetime, str, int]:
        """Who was first."""
        return self.since, self.host, self.pid

    def __str__(self) -> str:
        return f"{self.holder}, since {self.since.astimezone():%Y-%m-%d %H:%M:%S}"


class ClaimedError(Exception):
    """Somebody else makes it at the moment."""

    def __init__(self, path: Path, claim: Claim) -> None:
        super().__init__(path, claim)
        self.path, self.claim = path, claim

    def __str__(self) -> str:
        return f"{self.claim.what} is made by {self.claim}"


def path_of(folder: Path, name: str) -> Path:
    """Where the claim on something lies, beside what is made.

    Args:
        folder: of results, or of teachers.
        name: of what is made, as a file's.
    """
    return folder / FOLDER / f"{name}.json"


@contextmanager
def claimed(path: Path, what: str, share: bool = True) -> Iterator[Claim]:
    """Hold a claim for a while, and yield it.

    Args:
        path: its file.
        what: is made, in words.
        share: of a run, whether others may work beside it.

    Raises:
        ClaimedError: another process holds it.
    """
    me = this_process()
    claim = Claim(what=what, share=share, host=me.host, pid=me.pid, started=me.started, since=datetime.now(UTC))
    while not _created(path, claim):
        if (other := _found(path)) is None:  # it has just been given up
            continue
        if isinstance(other, _Live):
            raise ClaimedError(path, other.claim)
        _discard(path)
    over = threading.Event()
    pulse = threading.Thread(target=_beat, args=(path, over), daemon=True)
    pulse.start()
    try:
        yield claim
    finally:
        over.set()
        pulse.join()
        _remove(path)


def live(path: Path) -> Claim | None:
    """The claim in a file; None where there is none, or its process has ended."""
    found = _found(path)
    return found.claim if isinstance(found, _Live) else None


@dataclass(frozen=True)
class _Live:
    """A claim whose process lives."""

    claim: Claim


@dataclass(frozen=True)
class _LeftBehind:
    """A claim whose process has ended, or what nobody can read."""


def _found(path: Path) -> _Live | _LeftBehind | None:
    """What is in the file of a claim; None where there is no file."""
    try:
        claim = documents.read(path, Claim, SCHEMA_VERSION, "claim")
    except UserError as error:
        return None if isinstance(error.__cause__, FileNotFoundError) else _LeftBehind()
    ended = claim.holder.ended()
    return _LeftBehind() if (_silent(path) if ended is None else ended) else _Live(claim)


def _discard(path: Path) -> None:
    """Remove a claim that was left behind; one that has just taken its place stays."""
    aside = path.with_name(f".{path.name}.{threading.get_ident()}-{os.getpid()}.aside")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if live(aside) is not None:
            with suppress(FileExistsError):
                _give_name(aside, path)
        aside.unlink()


def _silent(path: Path) -> bool:
    """Whether a file has not been touched for so long that its process, of another machine, must have ended."""
    try:
        return _now(path.parent) - path.stat().st_mtime > SILENT
    except FileNotFoundError:
        return True
    except OSError:  # a full disk says nothing of another machine
        return False


def _now(folder: Path) -> float:
    """The time by the clock that stamps the files of a folder: those of machines differ."""
    with NamedTemporaryFile(dir=folder, prefix=".now.") as probe:
        return os.fstat(probe.fileno()).st_mtime


@contextmanager
def running(folder: Path, share: bool) -> Iterator[None]:
    """Hold the claim of a run on its results folder.

    Args:
        folder: of results.
        share: whether other runs may hold one, too; they then work on different jobs.

    Raises:
        UserError: another run works there already, which is named.
    """
    me = this_process()
    path = path_of(folder, f"{RUN}-{me.host}-{me.pid}")
    with claimed(path, RUN, share) as mine:
        runs = [claim for claim in all_live(folder) if claim.what == RUN]
        before = [claim for claim in runs if claim.order < mine.order]
        if before and not share:
            raise UserError(f"in use by {before[0]} (to work on other jobs beside it: --share)", folder)
        if alone := [claim for claim in before if not claim.share]:
            raise UserError(f"in use by {alone[0]}, which shares it with nobody", folder)
        yield


def all_live(folder: Path) -> list[Claim]:
    """All claims of a folder whose process lives, the oldest first; those that were left behind are removed."""
    claims = []
    for path in (folder / FOLDER).glob(".*"):  # of a process that was killed as it wrote one
        if _silent(path):
            path.unlink(missing_ok=True)
    for path in (folder / FOLDER).glob("*.json"):
        match _found(path):
            case _Live(claim):
                claims.append(claim)
            case _LeftBehind():
                _discard(path)
    _remove_empty(folder / FOLDER)
    return sorted(claims, key=lambda claim: claim.order)


def _remove(path: Path) -> None:
    """Remove a claim, with its folder where it was the last."""
    path.unlink(missing_ok=True)
    _remove_empty(path.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _created(path: Path, claim: Claim) -> bool:
    """Write a claim, with its content at once where files can have two names, or see that there is one."""
    own = path.with_name(f".{path.name}.{claim.host}-{claim.pid}-{threading.get_ident()}")
    while True:
        try:
            documents.write(own, claim)
            _give_name(own, path)
            return True
        except FileExistsError:
            return False
        except FileNotFoundError:  # another process has just removed the empty folder
            continue
        finally:
            own.unlink(missing_ok=True)


def _give_name(own: Path, path: Path) -> None:
    """Give a file a second name, unless that exists; where files have one name only, copy it."""
    try:
        os.link(own, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        with path.open("xb") as stream:
            stream.write(own.read_bytes())


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_EVERY):
        with suppress(OSError):
            os.utime(path)

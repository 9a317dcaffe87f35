"""The command and other processes, run to their end or for a limited time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.store.records import Store

Run = Callable[..., subprocess.CompletedProcess[str]]


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """A process in a group of its own, its output in pipes. It hears Ctrl-C, also where the tests run in background."""

    def hear() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=hear, **pipes | options)


def finish(command: Sequence[str], limit: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, or end all that it started after ``limit`` seconds."""
    with start(command, **options) as process:
        try:
            out, errors = process.communicate(timeout=limit)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(command), process.returncode, out, errors)


def reproducible(results: Path) -> dict[str, object]:
    """What a run must give again, by cell."""
    return {f"{r.task}/{r.pair}/{r.label}/{r.seed}": r.reproducible() for r in Store(results)}


def refused(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Exit code 2 and one line that says all of this."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for text in expected:
        assert text in lines[0]

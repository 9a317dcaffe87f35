"""Run the command and other processes to their end, or for a limited time."""

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
    """Start a process in a group of its own, its output in pipes; Ctrl-C reaches it also from tests in background."""

    def unblock() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=unblock, **pipes | options)


def finish(command: Sequence[str], limit: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or kill its process group after ``limit`` seconds."""
    with start(command, **options) as process:
        try:
            out, errors = process.communicate(timeout=limit)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(command), process.returncode, out, errors)


def reproducible(results: Path) -> dict[str, object]:
    """Return by cell what is bit-identical in every run."""
    return {f"{r.task}/{r.pair}/{r.label}/{r.seed}": r.reproducible() for r in Store(results)}


def refused(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Assert exit code 2 and one line on standard error that contains these texts."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for text in expected:
        assert text in lines[0]

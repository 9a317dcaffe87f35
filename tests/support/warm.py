"""The command in a process of its own, forked from one in which the libraries are imported already.

Importing torch takes seconds, and the tests call the command hundreds of times. What the interpreter or a library reads
when it starts (PYTHONUTF8, OMP_NUM_THREADS, the seed of string hashes) is the server's: what depends on it is tested
cold. ``test_cli`` compares the two ways to start it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path

from support.paths import ROOT

_ROOMS = ("cli", "run.runner", "measure.onnx_export", "report.page")
PRELOADED = [*(f"distillbench.bench.{room}" for room in _ROOMS), "onnxruntime", "torchvision", "pandas"]


def context() -> ForkServerContext:
    """Forks from a process in which torch has no thread of its own: nothing was computed there."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def command(
    server: ForkServerContext,
    arguments: list[str],
    limit: float = 300,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``distillbench`` with these arguments to its end, or end all that it started after ``limit`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        place = str(Path.cwd() if cwd is None else cwd)
        its = dict(os.environ if env is None else env)
        process = server.Process(target=_child, args=(arguments, place, its, out, errors))
        process.start()
        try:
            process.join(limit)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired(arguments, limit, out.read_bytes(), errors.read_bytes())
        except BaseException:
            assert process.pid is not None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
            raise
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), errors.read_text())


def _child(arguments: list[str], cwd: str, environment: dict[str, str], out: Path, errors: Path) -> None:
    os.setsid()
    for descriptor, path in ((1, out), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    known = [path for path in sys.path if not Path(path).is_relative_to(ROOT / "tests")]
    sys.path[:] = [cwd, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *known]
    sys.argv = ["distillbench", *arguments]
    from distillbench.bench.cli import main

    main()

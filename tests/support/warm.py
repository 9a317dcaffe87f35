"""The command in a process of its own, forked from one in which the libraries are imported already.

Importing torch takes seconds, and the tests call the command hundreds of times. What the interpreter or a library reads
when it starts (PYTHONUTF8, OMP_NUM_THREADS, the seed of string hashes) is that of the server; tests that depend on it
start the command cold. ``test_cli`` compares both.
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
_DRAWING = "matplotlib.backends.backend_agg"
_LIBRARIES = ("onnxruntime", "torchvision", "pandas", "scipy.stats", "torch._inductor", _DRAWING)
PRELOADED = [*(f"distillbench.bench.{room}" for room in _ROOMS), *_LIBRARIES]


def context() -> ForkServerContext:
    """Return the context of a server that has computed nothing, so that torch has no threads in it."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


def command(
    server: ForkServerContext,
    arguments: list[str],
    limit: float = 300,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``distillbench`` with some arguments to its end, or kill its process group after ``limit`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        working_directory = str(Path.cwd() if cwd is None else cwd)
        environment = dict(os.environ if env is None else env)
        process = server.Process(target=_child, args=(arguments, working_directory, environment, out, errors))
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
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    rest = [path for path in sys.path if not Path(path).is_relative_to(ROOT / "tests")]
    sys.path[:] = [cwd, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *rest]
    sys.argv = ["distillbench", *arguments]
    from distillbench.bench.cli import main

    main()

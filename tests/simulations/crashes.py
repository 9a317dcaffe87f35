"""Kill runs at random moments, resume them, and compare what comes of it with an undisturbed run.

    python tests/simulations/crashes.py [SUITE] [--kills 100] [--executor local|ray] [--seed 0]

A kill is SIGKILL to the driver, to one of its workers, or to all processes at once. A run that a kill has ended is
started again in the same folder; one that has come to its end is compared with the undisturbed run, bit by bit, and the
next one begins in a new folder. Exits with 1 where anything is lost, doubled, different or left behind.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import typer

from distillbench.bench.store.records import Store
from support.processes import finish, reproducible, start

WAYS = ("driver", "worker", "all")
FAULTS = ("different", "lost", "more", "unreadable", "left behind", "outlived")
LONGEST_LIFE = 1 / 6
"""Of the time of the undisturbed run: a driver or a worker is killed within it."""
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes of Ray that do no job; where their node dies they end by themselves within a minute."""
GONE_WITHIN = 10.0
"""Seconds after the death of a driver in which all its processes must be gone."""


def main(
    suite: Annotated[str, typer.Argument(help="The suite to run.")] = "smoke",
    kills: Annotated[int, typer.Option(help="How many kills.")] = 100,
    executor: Annotated[str, typer.Option(help="local or ray.")] = "local",
    seed: Annotated[int, typer.Option(help="Of the moments and the victims.")] = 0,
) -> None:
    """Kill, resume, compare."""
    rng = random.Random(seed)
    with TemporaryDirectory(prefix="distillbench-crashes-") as folder:
        variables = {"DISTILLBENCH_CHECKPOINT_SECONDS": "1", "DISTILLBENCH_LOCK": f"{folder}/lock"}
        undisturbed, seconds = _undisturbed(suite, Path(folder, "undisturbed"), variables)
        print(f"{suite}: {len(undisturbed)} records, {seconds:.0f} s undisturbed", flush=True)
        tally: Counter[str] = Counter()
        while sum(tally[way] for way in WAYS) < kills:
            out = Path(folder, f"run-{tally['runs']}")
            tally += _disturbed(suite, out, executor, variables, rng, kills - sum(tally[way] for way in WAYS), seconds)
            tally += _compared(undisturbed, out)
            print(_line(tally), flush=True)
    raise typer.Exit(1 if any(tally[name] for name in FAULTS) else 0)


def _command(suite: str, out: Path, executor: str = "local") -> list[str]:
    return [sys.executable, "-m", "distillbench", "run", suite, "--out", str(out), "--executor", executor]


def _undisturbed(suite: str, out: Path, variables: Mapping[str, str]) -> tuple[dict[str, object], float]:
    begin = time.monotonic()
    done = finish(_command(suite, out), limit=3600, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    return reproducible(out), time.monotonic() - begin


def _disturbed(
    suite: str, out: Path, executor: str, variables: Mapping[str, str], rng: random.Random, most: int, seconds: float
) -> Counter[str]:
    """Run to the end, killed again and again on the way."""
    tally: Counter[str] = Counter(runs=1)
    failures = set[tuple[Path, datetime]]()
    while True:
        process = start(_command(suite, out, executor), env=os.environ | variables, stdout=subprocess.DEVNULL)
        victims = 0
        while victims + sum(tally[way] for way in WAYS) < most:
            try:
                process.wait(rng.uniform(0, seconds * LONGEST_LIFE))
                break
            except subprocess.TimeoutExpired:
                way = rng.choice(WAYS)
                tally[way] += _kill(process, way, rng)
                if way != "worker":
                    break
        _, errors = process.communicate(timeout=3600)
        tally["outlived"] += _outlived(process.pid)
        if process.returncode == 0:
            return tally
        out.mkdir(exist_ok=True)  # a kill may have come before
        scan = Store(out).scan()
        failed = {(r.path, r.created) for r in scan.records if r.failure}
        assert process.returncode == -signal.SIGKILL or (process.returncode == 1 and failed), errors
        tally["unreadable"] += len(scan.errors)
        tally["killed twice"] += len(failed - failures)  # recorded as failed, and made anew by the next run
        failures |= failed


def _kill(process: subprocess.Popen[str], way: str, rng: random.Random) -> int:
    """Kill the driver, one of its workers, or all; returns whether there was anything to kill."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if way == "driver":
            process.kill()
        elif way == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            workers = [p for p in psutil.Process(process.pid).children(recursive=True) if _is_worker(p)]
            if not workers:
                return 0
            rng.choice(sorted(workers, key=lambda p: p.pid)).kill()
        return 1
    return 0


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        line = " ".join(process.cmdline())
        return "workers.worker" in line or (line.startswith("ray::") and not line.startswith(AGENTS))
    return False


def _outlived(group: int) -> int:
    """How many processes of a group live longer than their driver may."""
    deadline = time.monotonic() + GONE_WITHIN
    while True:
        living = [p for p in psutil.process_iter() if _group(p) == group and _works(p)]
        if not living or time.monotonic() > deadline:
            return len(living)
        time.sleep(0.1)


def _works(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and not " ".join(process.cmdline()).startswith(AGENTS)
    return False


def _group(process: psutil.Process) -> int:
    with suppress(ProcessLookupError, psutil.Error):
        return os.getpgid(process.pid)
    return -1


def _compared(undisturbed: Mapping[str, object], out: Path) -> Counter[str]:
    """What is wrong with the results of a run that has come to its end."""
    scan = Store(out).scan()
    records = reproducible(out)
    left = [path for path in out.rglob("*") if path.is_file() and (path.suffix == ".part" or "claims" in path.parts)]
    left += [path for path in out.rglob("*.pt") if "checkpoints" in path.parts]
    return Counter(
        {
            "records": len(records),
            "different": sum(records[key] != undisturbed[key] for key in records.keys() & undisturbed.keys()),
            "lost": len(undisturbed.keys() - records.keys()),
            "more": len(records.keys() - undisturbed.keys()),
            "unreadable": len(scan.errors),
            "left behind": len(left),
        }
    )


def _line(tally: Counter[str]) -> str:
    names = (*WAYS, "killed twice", "runs", "records", *FAULTS)
    return ", ".join(f"{name} {tally[name]}" for name in names)


if __name__ == "__main__":
    typer.run(main)

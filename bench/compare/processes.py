"""The driver's end of a process that takes turns: what it is asked, and what becomes of it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from distillbench.common.errors import UserError, one_line

OPEN_SECONDS, SAMPLE_SECONDS = 300.0, 60.0
"""After which a process that says nothing is given up. To open may be to compile."""
PATIENCE = 2.0
LONGEST = 200


class Turns(Protocol):
    """What can be timed at a revision, and times it."""

    def open(self) -> dict[str, Any]: ...

    def sample(self, subject: str, loops: int, warm_up: int) -> float: ...


class Process:
    """One revision's process. name: of the revision, for errors. folder: neutral, its current one."""

    def __init__(self, name: str, installed: Path, request: Mapping[str, Any], folder: Path) -> None:
        self.name, self.request, self.errors = name, request, folder / f"{os.urandom(8).hex()}.txt"
        others = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(installed), *others]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(folder),  # what libraries leave there is gone with it
        }
        with self.errors.open("wb") as errors:
            # A session of its own: Ctrl-C goes to the driver alone, whose end closes the input.
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("revision_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._ask({"do": "open", **request})

    def open(self) -> dict[str, Any]:
        """Sizes, subjects, and what is not available. UserError where the suite does not load."""
        return self._answer(OPEN_SECONDS)

    def sample(self, subject: str, loops: int, warm_up: int) -> float:
        """Seconds that so many calls take, after some that are not timed."""
        self._ask({"do": "sample", "subject": subject, "loops": loops, "warm_up": warm_up})
        return float(self._answer(SAMPLE_SECONDS)["seconds"])

    def close(self) -> None:
        """It ends when its input closes, whatever it does; it is killed if it does not."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, request: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # a dead process is heard of in another way
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise UserError(f"{self.name}: its process said nothing for {seconds:g} seconds") from None
        if not line:
            code = self.process.wait()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            said = [line.strip() for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
            last = f": {one_line(said[-1])[:LONGEST]}" if said else ""
            raise UserError(f"{self.name}: its process died ({how}){last}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name}: {one_line(answer['error'])}")
        return answer

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self.process.stdout:
                self.lines.put(line)
        self.lines.put("")

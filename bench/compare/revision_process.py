"""A process that times one revision, as the comparison drives it: requests, answers, and what becomes of it."""

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
"""After which a silent process is given up. To open may be to compile."""
CLOSE_SECONDS = 2.0
LONGEST_MESSAGE = 200


class Sampler(Protocol):
    """What times the subjects of one revision."""

    def open(self) -> dict[str, Any]:
        """What can be timed: "sizes", "subjects" and "unavailable"."""
        ...

    def sample(self, subject: str, loops: int, warm_up: int) -> float:
        """Seconds of ``loops`` calls of a subject, after ``warm_up`` untimed ones."""
        ...


class RevisionProcess:
    """A process with one revision on its module search path.

    Args:
        revision: Its name, for errors.
        installed: The folder of its installation.
        request: What to open: suite, settings, tasks, backends, cache, and whether sizes are needed.
        folder: The process's current and temporary folder.
    """

    def __init__(self, revision: str, installed: Path, request: Mapping[str, Any], folder: Path) -> None:
        self.revision, self.errors = revision, folder / f"{os.urandom(8).hex()}.txt"
        with self.errors.open("wb") as errors:
            # A session of its own: Ctrl-C goes to the driver alone, whose end closes the input.
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("revision_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=_environment(installed, folder),
                start_new_session=True,
            )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"do": "open", **request})

    def open(self) -> dict[str, Any]:
        """Sizes, subjects, and what is unavailable.

        Raises:
            UserError: The revision cannot load the suite, or the process died.
        """
        return self._answer(OPEN_SECONDS)

    def sample(self, subject: str, loops: int, warm_up: int) -> float:
        """Time one subject.

        Args:
            subject: One of the subjects that ``open`` answered with.
            loops: Timed calls.
            warm_up: Untimed calls before.

        Returns:
            Seconds of all timed calls together.

        Raises:
            UserError: The process died, or did not answer.
        """
        self._send({"do": "sample", "subject": subject, "loops": loops, "warm_up": warm_up})
        return float(self._answer(SAMPLE_SECONDS)["seconds"])

    def close(self) -> None:
        """End the process by closing its input; kill it if it does not end."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # that a process is dead is noticed when it does not answer
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise UserError(f"the process did not answer within {seconds:g} seconds", self.revision) from None
        if not line:
            raise UserError(self._death(), self.revision)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(one_line(answer["error"]), self.revision)
        return answer

    def _death(self) -> str:
        code = self.process.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = [line.strip() for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
        message = f": {one_line(lines[-1])[:LONGEST_MESSAGE]}" if lines else ""
        return f"the process died ({cause}){message}"

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self.process.stdout:
                self.lines.put(line)
        self.lines.put("")


def _environment(installed: Path, folder: Path) -> dict[str, str]:
    others = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(installed), *others]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),  # what libraries leave there is deleted with it
    }

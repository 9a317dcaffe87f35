"""Revisions of a git repository, each installed into a folder of its own. Nothing is left in the repository."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

from distillbench.common.errors import UserError, one_line

LONGEST = 300
"""Characters of what another program said."""


def commit(revision: str, repository: Path) -> str:
    """The full name of a revision's commit. UserError where there is none, or no repository."""
    inside = _git(repository, "rev-parse", "--show-toplevel")
    if inside.returncode:
        raise UserError(f"--revisions: {repository.absolute()} is in no git repository")
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise UserError(f"--revisions: no such revision {revision!r} (a shallow clone has only its newest ones)")
    return found.stdout.strip()


def install(revision: str, its_commit: str, repository: Path, folder: Path) -> Path:
    """The commit's package, without its dependencies, as a folder for the path. UserError where it does not install.

    ``git archive``, not a worktree: a worktree would stay behind in .git when this process is killed.
    """
    archive, source, target = folder / f"{its_commit}.tar", folder / f"{its_commit}-source", folder / its_commit
    done = _git(repository, "archive", "--format=tar", "--output", str(archive), its_commit)
    if done.returncode:
        raise UserError(f"{revision}: cannot be checked out: {_last_line(done.stderr)}")
    with tarfile.open(archive) as opened:
        opened.extractall(source, filter="data")
    archive.unlink()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    if importlib.util.find_spec("setuptools") is not None:
        command.append("--no-build-isolation")
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    # A session of its own: builds are pip's children, and end with it.
    process = subprocess.Popen(
        [*command, str(source)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
    finally:
        if process.poll() is None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise UserError(f"{revision}: does not install: {_last_line(said)}")
    return target


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError("--revisions: git is not installed") from None


def _last_line(said: str) -> str:
    """The last line that says something: pip ends with notes and hints, which are indented or marked as such."""
    lines = [line.strip() for line in said.splitlines() if line.strip(" ╰─>│×")]
    errors = [line for line in lines if "rror" in line and "subprocess" not in line and "pip" not in line]
    return one_line((errors or lines or ["no reason given"])[-1])[:LONGEST]

"""Revisions of a git repository, each installed into a folder of its own; the repository stays as it is."""

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

LONGEST_REASON = 300
"""Characters of another program's message that are repeated."""


def commit(revision: str, repository: Path) -> str:
    """The full name of a revision's commit.

    Args:
        revision: A branch, tag or commit.
        repository: A folder inside a git repository.

    Raises:
        UserError: No such revision, or no repository.
    """
    inside = _git(repository, "rev-parse", "--show-toplevel")
    if inside.returncode:
        raise UserError(f"{repository.absolute()} is not in a git repository", "--revisions")
    parsed = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if parsed.returncode:
        problem = f"unknown revision {revision!r} (a shallow clone has only its newest ones)"
        raise UserError(problem, "--revisions")
    return parsed.stdout.strip()


def install(revision: str, commit: str, repository: Path, folder: Path) -> Path:
    """Install a commit's package without its dependencies.

    Args:
        revision: As the user named it, for errors.
        commit: The full name of its commit.
        repository: A folder inside a git repository.
        folder: Where to install.

    Returns:
        A folder for the module search path.

    Raises:
        UserError: The commit cannot be checked out or installed.
    """
    source, target = folder / f"{commit}-source", folder / commit
    _check_out(revision, commit, repository, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    if importlib.util.find_spec("setuptools") is not None:
        command.append("--no-build-isolation")
    code, output = _run_as_group([*command, str(source)], folder)
    if code:
        raise UserError(f"installation failed: {_last_line(output)}", revision)
    return target


def _check_out(revision: str, commit: str, repository: Path, source: Path) -> None:
    """By ``git archive``: a worktree would stay behind in .git when this process is killed."""
    archive = source.with_name(f"{source.name}.tar")
    done = _git(repository, "archive", "--format=tar", "--output", str(archive), commit)
    if done.returncode:
        raise UserError(f"cannot be checked out: {_last_line(done.stderr)}", revision)
    with tarfile.open(archive) as opened:
        opened.extractall(source, filter="data")
    archive.unlink()


def _run_as_group(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and output of a command in a session of its own: what it starts ends with it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    finally:
        if process.poll() is None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, output


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError("git is not installed", "--revisions") from None


def _last_line(output: str) -> str:
    """The last line that says something: pip ends with notes and hints, which are indented or marked as such."""
    lines = [line.strip() for line in output.splitlines() if line.strip(" ╰─>│×")]
    errors = [line for line in lines if "rror" in line and "subprocess" not in line and "pip" not in line]
    return one_line((errors or lines or ["no reason given"])[-1])[:LONGEST_REASON]

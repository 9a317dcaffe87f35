"""Run again the commands whose output the documents quote, and put in what they print now.

python docs/outputs.py

A quotation stands between ``<!-- output -->`` and ``<!-- /output -->``: the command behind '$', its output beneath it.
It is run in a folder with the files that the document shows, and an empty folder DIR.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

DOCUMENTS = tuple(sorted(Path(__file__).parent.glob("*.md")))
QUOTATION = re.compile(r"(?<=<!-- output -->\n\n)    \$ distillbench (.*)\n((?:    .*\n)*)(?=\n<!-- /output -->)")
FILE = re.compile(r"^```(?:toml|python)\n(# (\w+\.(?:toml|py))\n.*?)^```", re.MULTILINE | re.DOTALL)


def write_files(text: str, folder: Path) -> None:
    """The files that a document shows (those that begin with their name), and DIR."""
    for content, name in FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "DIR").mkdir()


def output(command: str, folder: Path) -> str:
    """What a command prints, errors included, as lines of a document."""
    words = [sys.executable, "-m", "distillbench", *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "".join(f"    {line}\n" for line in done.stdout.replace(f"{folder}/", "").splitlines())


def current(text: str) -> str:
    """A document with every quotation as its command prints it now."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write_files(text, folder)
        return QUOTATION.sub(lambda match: f"    $ distillbench {match[1]}\n{output(match[1], folder)}", text)


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(current(path.read_text(encoding="utf-8")), encoding="utf-8")

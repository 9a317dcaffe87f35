"""Rebuild docs/commands.md from the program itself: every command with its arguments and options, as typer has them.

python docs/commands.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from distillbench.bench.cli import app

DOCUMENT = Path(__file__).with_suffix(".md")
BLOCK = re.compile(r"(<!-- commands -->\n).*?(<!-- /commands -->)", re.DOTALL)
HELP = re.compile(r"^\* `--help`: .*\n", re.MULTILINE)
EMPTY = re.compile(r"\*\*Options\*\*:\n\n(?!\*)")
SUBCOMMANDS = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n")

BLANK_LINES = re.compile(r"\n{3,}")


def reference() -> str:
    """An index of all commands, then each with what it takes."""
    program: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=program, ctx=typer.Context(program, info_name="distillbench"), name="distillbench")
    for pattern in (HELP, SUBCOMMANDS, EMPTY):  # typer cuts the sentences of a list of commands: the index has them
        text = pattern.sub("", text)
    _, heading, sections = BLANK_LINES.sub("\n\n", text).partition("\n## ")
    return f"{index(program)}\n{heading}{sections.rstrip()}"


def index(program: Any) -> str:
    """A line a command: what it does, in its first sentence."""
    lines = ["| command | what it does |", "| --- | --- |"]
    for name, command in program.commands.items():
        sentence = command.help.partition("\n\n")[0].replace("\n", " ")
        lines.append(f"| [`{name}`](#distillbench-{name}) | {sentence} |")
    return "\n".join(lines)


def current() -> str:
    """The document, with the reference as the program has it."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{reference()}\n\n{match[2]}", DOCUMENT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(current(), encoding="utf-8")

"""``distillbench list``: tasks, methods, networks, pairs and suites, and their settings."""

from __future__ import annotations

from enum import StrEnum
from textwrap import wrap
from typing import Annotated

import typer

from distillbench.bench.commands.options import console


class Kind(StrEnum):
    everything = "all"
    tasks = "tasks"
    methods = "methods"
    networks = "networks"
    pairs = "pairs"
    suites = "suites"


def list_(
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help="One of tasks, methods, networks, pairs, suites and all.")
    ] = "all",
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="The task, method, network or suite whose settings are listed.")
    ] = "",
) -> None:
    """List tasks, methods, networks, teacher-student pairs and suites; with NAME, every setting of one."""
    from distillbench.bench.suite import catalogue
    from distillbench.common.errors import check_name

    check_name("kind", kind, [k.value for k in Kind], "list")
    output = console()
    if name:
        for block in catalogue.description(kind, name):
            output.print(block)
        return
    for heading in ("tasks", "methods", "networks", "suites") if kind == "all" else (kind,):
        output.print(f"[bold]{heading}[/bold]")
        lines = catalogue.lines(heading)
        indent = max(16, *map(len, lines)) + 4
        for entry, line in lines.items():
            start = f"  {entry}".ljust(indent)
            text = wrap(line, max(output.width, indent + 20), initial_indent=start, subsequent_indent=" " * indent)
            output.print("\n".join(text), markup=False, highlight=False, soft_wrap=True)

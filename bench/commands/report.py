"""``distillbench report``: a results folder as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.paths import expanded


def report(
    results: Annotated[Path, typer.Argument(parser=expanded, metavar="RESULTS", help="A results folder.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=expanded, metavar="PAGE", help="The folder to write the page to.")
    ],
) -> None:
    """A static site: tables, charts, pictures, and a page for each cell. It opens without a server, and offline."""
    screen = console()
    with screen.status(f"{results}: reading"):
        from distillbench.bench.report.page.site import build

        made = build(results, out)
    size = sum(path.stat().st_size for path in made)
    screen.print(f"{out / 'index.html'}: {len(made)} files, {size / 1e6:.1f} MB", markup=False)

"""``distillbench report``: a results folder as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import Results, console
from distillbench.common.paths import expanded


def report(
    results: Results,
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=expanded, metavar="DIR", help="Folder to write the site to.")
    ],
) -> None:
    """Write a results folder as a static site: tables, charts, figures, and a page for each cell.

    The site opens without a server, and offline.
    """
    screen = console()
    with screen.status(f"{results}: reading"):
        from distillbench.bench.report.page.site import build

        paths = build(results, out)
    size = sum(path.stat().st_size for path in paths)
    screen.print(f"{out / 'index.html'}: {len(paths)} files, {size / 1e6:.1f} MB", markup=False)

"""``distillbench data``: the standard data sets that a suite may name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Data, console, table_width
from distillbench.common.errors import DataError
from distillbench.common.paths import expanded, folder_option

if TYPE_CHECKING:
    from distillbench.tasks.data.sets import StandardSet

app = typer.Typer(name="data", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set, as in 'distillbench data list'.")]


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise error.within("data") from error


@app.command("list")
def list_(data: Data = None) -> None:
    """List every standard data set, its images, and whether it is in the data folder."""
    from distillbench.bench.report.table import Cell, Column, Row, Table, words
    from distillbench.bench.report.terminal import grid
    from distillbench.tasks.data import sets

    titles = [words("set"), words("kind"), *map(Column, ("train", "validation", "test")), words("here"), words("what")]
    rows = []
    for entry in sets.table().values():
        texts = [entry.name, entry.kind, *_counts(entry), sets.presence(entry), entry.credit]
        rows.append(Row(tuple(map(Cell, texts))))
    output = console()
    output.print(grid(Table("", tuple(titles), tuple(rows)), table_width(output)))
    folder = os.environ.get(sets.ROOT)
    line = f"data root: {folder}" if folder else "no data root is given"
    output.print(f"{line} (--data DIR, or {sets.ROOT})", markup=False, soft_wrap=True)


def _counts(entry: StandardSet) -> list[str]:
    """How many images each split has."""
    counts = {split: f"{count:,}" for split, count in entry.images.items()}
    return [counts.get("train", ""), counts.get("validation", "a tenth" * entry.carved), counts.get("test", "")]


@app.command()
def check(name: Name, data: Data = None) -> None:
    """Check that a data set is complete: its files, checksums, counts and pixels.

    Exit codes: 0 it is; 2 it is not, and one line says what is wrong.
    """
    from distillbench.tasks.data import sets, standard

    with _one_line():
        entry = sets.known(name)
        decoded = standard.verified(entry)
        base = entry.base()
    counts = ", ".join(f"{len(getattr(decoded.splits, split)):,} {split}" for split in standard.SPLITS)
    files = sum(bool(md5) for md5 in entry.files.values())
    sums = [f"{files} files by MD5"] * bool(files) + ["the pixels by SHA-256"] * bool(entry.pixels)
    print(f"{name}: {entry.credit}")
    print(f"under {base}: {counts}")
    print(f"checked: the counts{''.join(f', {checked}' for checked in sums) or '; no checksum of it is known'}")
    print(f"identity: {decoded.sha256}")


@app.command()
def fetch(
    name: Name,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            parser=folder_option("--data"),
            metavar="DIR",
            help="Folder of the standard data sets, created if it does not exist. Default: $DISTILLBENCH_DATA.",
        ),
    ] = None,
) -> None:
    """Download a data set into the data folder, or say where to get it if no program may download it."""
    from distillbench.tasks.data import sets, standard
    from distillbench.tasks.data.fetching import fetch as download

    if data is not None:
        os.environ[sets.ROOT] = str(data.absolute())
    with _one_line():
        entry = sets.known(name)
        if sets.presence(entry) != "found":
            if entry.fetched and not os.environ.get(sets.ROOT):
                entry.base()  # which says that no root is given
            download(entry, expanded(os.environ.get(sets.ROOT) or "DIR"))
        standard.verified(entry)
        print(f"{name}: complete, under {entry.base()}")

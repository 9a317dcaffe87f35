"""``distillbench data``: the standard sets that a suite may name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import Data, console
from distillbench.common.errors import DataError
from distillbench.common.paths import expanded, folder_option

app = typer.Typer(name="data", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A set, as in distillbench data list.")]


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise error.within("data") from error


@app.command("list")
def list_(data: Data = None) -> None:
    """Every set, its images and whether it is there."""
    from rich import box
    from rich.table import Table

    from distillbench.tasks.data import sets

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, right in {"set": 0, "kind": 0, "train": 1, "validation": 1, "test": 1, "here": 0, "what": 0}.items():
        table.add_column(column, justify="right" if right else "left", no_wrap=column != "what")
    for each in sets.table().values():
        carved = "a tenth" if each.carved else ""
        counts = [
            f"{each.images[split]:,}" if split in each.images else "" for split in ("train", "validation", "test")
        ]
        here = sets.presence(each)
        table.add_row(each.name, each.kind, counts[0], counts[1] or carved, counts[2], here, each.credit)
    output = console()
    output.print(table)
    where = os.environ.get(sets.ROOT)
    line = f"data root: {where}" if where else "no data root is given"
    output.print(f"{line} (--data DIR, or {sets.ROOT})", markup=False, soft_wrap=True)


@app.command()
def check(name: Name, data: Data = None) -> None:
    """Whether a set is whole: its files, checksums, counts and pixels. Exit: 0 it is, 2 one line says what is wrong."""
    from distillbench.tasks.data import sets, standard

    with _one_line():
        its = sets.known(name)
        found = standard.verified(its)
        base = its.base()
    counts = ", ".join(f"{len(getattr(found.splits, split)):,} {split.replace('_', '-')}" for split in standard.SPLITS)
    known = sum(bool(md5) for md5 in its.files.values())
    sums = [f"{known} files by MD5"] * bool(known) + ["the pixels by SHA-256"] * bool(its.pixels)
    print(f"{name}: {its.credit}")
    print(f"under {base}: {counts}")
    print(f"checked: the counts{''.join(f', {each}' for each in sums) or '; no checksum of it is known'}")
    print(f"identity: {found.sha256}")


@app.command()
def fetch(
    name: Name,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", parser=folder_option("--data"), metavar="DIR", help="Data root, which is made if need be."
        ),
    ] = None,
) -> None:
    """Download a set under the data root, where a program can; of the others, where they are to be had."""
    from distillbench.tasks.data import sets, standard
    from distillbench.tasks.data.fetching import fetch as get

    if data is not None:
        os.environ[sets.ROOT] = str(data.absolute())
    with _one_line():
        its = sets.known(name)
        if sets.presence(its) != "found":
            if its.fetched and not os.environ.get(sets.ROOT):
                its.base()  # which says that no root is given
            get(its, expanded(os.environ.get(sets.ROOT) or "DIR"))
        standard.verified(its)
        print(f"{name}: is there, and whole, under {its.base()}")

"""``distillbench show``: one record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.paths import expanded


def show(
    record: Annotated[Path, typer.Argument(parser=expanded, metavar="RECORD", help="A record file (.json).")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record as JSON, with its per-example results.")
    ] = False,
) -> None:
    """Print one record in full, but for its per-example results."""
    from rich.pretty import Pretty

    from distillbench.bench.store.records import Store

    content = Store(record.parent).read(record)
    if as_json:
        print(json.dumps(content.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    fields = content.model_dump(mode="json", exclude={"examples", "example_names"}, exclude_none=True)
    console().print(Pretty(fields, expand_all=True))

"""Paths that cannot be what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from bench.errors import UserError
from bench.paths import results_folder

Out = Annotated[Path | None, typer.Option("--out", parser=results_folder)]


def test_an_empty_out_is_refused_and_the_current_folder_is_not() -> None:
    """As a variable of a script that is not set gives it; a Path would not tell the two apart."""
    app, given = typer.Typer(), []

    @app.command()
    def run(out: Out = None) -> None:
        given.append(out)

    assert isinstance(CliRunner().invoke(app, ["--out", ""]).exception, UserError)
    for arguments in ([], ["--out", "."], ["--out", "runs/mine"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert given == [None, Path(), Path("runs/mine")]
    with pytest.raises(UserError, match="--out: is empty"):
        results_folder("")

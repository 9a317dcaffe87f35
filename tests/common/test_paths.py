"""Paths that cannot be what was meant."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import distillbench
from distillbench.bench import cli
from distillbench.bench.machine import lock
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataError, UserError
from distillbench.common.paths import expanded, results_folder
from distillbench.tasks.data import disk_cache, sets
from support.paths import ROOT
from support.processes import finish

PUBLISHED = ROOT / "results" / "mnist"
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another current folder than the home folder, in which a folder called ``~`` would be seen."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


HOMELESS = "~nobody-of-this-name/x"


def _callbacks(group: typer.Typer) -> list[Callable[..., None]]:
    inner = [
        callback
        for each in group.registered_groups
        if each.typer_instance
        for callback in _callbacks(each.typer_instance)
    ]
    return [command.callback for command in group.registered_commands if command.callback] + inner


def test_every_path_of_the_command_line_may_begin_with_a_home_folder(home: Path) -> None:
    """As ``--out=~/x`` and a quoted one come from the shell."""
    for callback in _callbacks(cli.app):
        for name, hint in get_type_hints(callback, include_extras=True).items():
            if Path in (kind := get_args(hint)[0] if get_origin(hint) is Annotated else hint, *get_args(kind)):
                (option,) = hint.__metadata__
                assert option.parser is not None, f"{callback.__name__}: {name}"
                (home / "x").mkdir(exist_ok=True)
                assert option.parser("~/x") == home / "x", f"{callback.__name__}: {name}"
                with pytest.raises(UserError, match=f"{HOMELESS}: ~nobody-of-this-name is not a home folder here"):
                    option.parser(HOMELESS)


@pytest.mark.parametrize("arguments", [["compare", "~/a", "~/b"], ["time", "~/a"], ["run", "~/a.toml", "--out", "~/b"]])
def test_folders_and_suites_of_the_command_line_are_looked_for_at_home(home: Path, arguments: list[str]) -> None:
    error = CliRunner().invoke(cli.app, arguments).exception
    assert isinstance(error, UserError)
    for name in ("a", "b"):
        (home / name).mkdir()
    (home / "a.toml").write_text("[tasks]")
    error = CliRunner().invoke(cli.app, arguments).exception
    assert not re.search("no suite|not a folder|no such", str(error), re.IGNORECASE), error
    assert not list(Path().iterdir())


def test_paths_of_settings_may_begin_with_a_home_folder(home: Path) -> None:
    (home / "suite.toml").write_text('[tasks.style_transfer]\nstyle = "~/style.png"\ndata = { test = "~/pictures" }\n')
    (home / "pictures").mkdir()
    for name in ("style.png", "pictures/one.png", "pictures/two.png"):
        Image.effect_noise((96, 96), 64).save(home / name)
    for suite, overrides in (
        ("~/suite.toml", []),
        (Path("~/suite.toml"), []),
        ({"tasks": {"style_transfer": {"data": {"test": "~/pictures"}}}}, ['tasks.style_transfer.style="~/style.png"']),
        ("smoke", ["tasks.style_transfer.style=~/style.png", "tasks.style_transfer.data.test=~/pictures"]),
    ):
        settings = load(suite, overrides, ["style_transfer"]).entries[0].pair.settings
        assert settings.style == home / "style.png"
        assert settings.data.test == home / "pictures"


@pytest.mark.parametrize("setting", ["style", "data.train", "teacher.weights", "loss_network"])
def test_a_home_folder_that_is_none_is_told_with_its_setting(home: Path, setting: str) -> None:
    with pytest.raises(UserError, match=f"^--set: tasks.style_transfer.{setting}: {HOMELESS}: .* is not a home folder"):
        load("smoke", [f"tasks.style_transfer.{setting}={HOMELESS}"], ["style_transfer"])


def test_the_chosen_values_of_a_suite_may_lie_at_home(home: Path) -> None:
    (home / "mine.tuned.toml").write_text("[hyperparameters.mimic]\nweight = 2\n")
    table = {"tuned": "~/mine.tuned.toml", "tasks": {"vae": {}}}
    assert load(table).entries[0].methods["mimic"].model_dump()["weight"] == 2
    with pytest.raises(UserError, match=f"suite: tuned: {HOMELESS}: "):
        load(table | {"tuned": HOMELESS})


def test_folders_of_python_may_lie_at_home(home: Path) -> None:
    (home / "results").symlink_to(PUBLISHED)
    assert len(distillbench.load_records("~/results")) == len(distillbench.load_records(PUBLISHED)) > 0
    with pytest.raises(UserError, match="is not a home folder here"):
        distillbench.load_records(HOMELESS)
    with pytest.raises(UserError, match="is not a home folder here"):
        distillbench.run("smoke", out=HOMELESS)
    with pytest.raises(UserError, match="is not a home folder here"):
        distillbench.run("smoke", out=home / "out", cache=HOMELESS)
    assert not (home / "out").exists()


def test_the_data_root_of_the_environment_may_lie_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sets.ROOT, "~")
    assert sets.root() == home
    monkeypatch.setenv(sets.ROOT, HOMELESS)
    with pytest.raises(DataError, match=r"the data root .* is not a home folder here"):
        sets.root()


def test_what_is_kept_of_images_may_lie_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disk_cache.CACHE, "~/kept")
    assert disk_cache.folder() == home / "kept"


def test_the_lock_of_the_environment_may_lie_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lock.VARIABLE, "~/lock")
    with lock.busy_on_the_machine():
        assert (home / "lock").is_file()


def test_without_any_home_folder_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in passwd."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(UserError, match=r"^~/x: ~ is not a home folder here \(give the whole path, or \./~/x\)$"):
        expanded("~/x")
    assert expanded("x") == Path("x")


def test_a_page_needs_no_home_folder() -> None:
    """A package that is imported for its files alone may look for its own settings there."""
    imported = "from distillbench.bench.report.page.rendering import assets"
    code = f"import pwd; pwd.getpwuid = {{}}.__getitem__; {imported}; print(len(assets()))"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CONFIG_HOME")}
    done = finish([sys.executable, "-c", code], env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0

"""The wheel installs one name, and works in a folder whose own packages are called as folders of this project are."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from support.paths import ROOT
from support.processes import finish

SOURCES = ("bench", "common", "distillbench", "methods", "tasks")
FILES = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves folders beside its sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(target), str(source))
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path with this package alone in it."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-index", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments: str) -> None:
    done = finish([sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-deps", *arguments[1:]])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def research(tmp_path: Path) -> Path:
    """A research repository with packages of its own, which know nothing of this project."""
    for name in (*SOURCES[:2], *SOURCES[3:]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the {name} of somebody else')\n")
    return tmp_path


def test_the_wheel_has_one_name_and_all_files_of_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist()}
    assert {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")} == {"distillbench"}
    folders = [ROOT / name for name in SOURCES if name != "distillbench"]
    sources = {path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {Path("distillbench", path.relative_to(ROOT)) for path in sources} <= names


def test_it_runs_beside_packages_called_tasks_and_methods(installed: Path, research: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    script = "import distillbench as d; from distillbench import run, load_records, Method; print(d.__file__)"
    done = finish([sys.executable, "-c", script], cwd=research, env=environment)
    assert done.stdout.strip() == str(installed / "distillbench" / "__init__.py"), done.stderr
    options = ("--task", "classification", "--methods", "scratch", "--seeds", "0", "--set", "steps=2")
    for arguments in (("list",), ("run", "smoke", *options, "--out", str(research / "out"))):
        done = finish([sys.executable, "-m", "distillbench", *arguments], cwd=research, env=environment)
        assert done.returncode == 0, done.stderr

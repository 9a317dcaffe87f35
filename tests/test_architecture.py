"""The house: who may import whom. docs/architecture.md draws it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT
from support.processes import finish

FLOORS = (
    {"statistics", "machine"},
    {"store", "training", "workers"},
    {"suite", "analysis", "measure"},
    {"run"},
    {"report", "export"},
    {"compare", "leaderboard", "validate", "timing"},
    {"commands", "api"},
    {"cli"},
)
"""The rooms of ``bench/``, from the ground up: a room imports lower floors, never its own or a higher one."""
LARGE = {
    "bench/commands": "a file a command",
    "bench/run": "a file a step of a run, and how its jobs are done and shared out",
    "bench/store": "a file a kind of file in a results folder",
    "bench/training": "a file a part of the training that can be read and tested alone",
    "bench/compare": "a file a kind of measurement, and the processes of two revisions",
    "bench/validate": "a file a check",
    "tasks/networks": "a file a network",
    "tasks/data": "a file a format or step between a file and a tensor",
}
"""Rooms of more files than a reader takes in at a glance, and why."""


def imports(source: str) -> Iterator[str]:
    """The modules that a source imports, dotted; of ``from package import name`` also what it would be as a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_folders(path: Path) -> set[str]:
    """Of this project's top folders those that a file imports from."""
    modules = (module.split(".") for module in imports(path.read_text()))
    return {parts[1] for parts in modules if parts[0] == "distillbench" and len(parts) > 1}


def upward(room: str, source: str) -> set[str]:
    """The rooms that a file of a room imports, and may not: those that are not below it."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    modules = (module.split(".") for module in imports(source))
    targets = {parts[2] for parts in modules if parts[:2] == ["distillbench", "bench"] and len(parts) > 2}
    return {target for target in targets - {room} if floor[target] >= floor[room]}


@pytest.mark.parametrize("path", sorted((ROOT / "bench").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_lower_floors_only(path: Path) -> None:
    room = path.relative_to(ROOT / "bench").parts[0].removesuffix(".py")
    assert not upward(room, path.read_text()) if room != "__init__" else not list(imports(path.read_text()))


def test_an_arrow_upwards_or_across_is_seen() -> None:
    assert upward("store", "from distillbench.bench.run import runner") == {"run"}
    assert upward("compare", "def f():\n    from distillbench.bench import leaderboard") == {"leaderboard"}
    assert not upward("run", "from distillbench.bench.store.records import Record")


def test_every_room_has_a_floor_and_no_more_files_than_a_reader_takes_in() -> None:
    rooms = {path.parent for top in ("bench", "methods", "tasks", "common") for path in (ROOT / top).rglob("*.py")}
    names = {room.name for room in rooms if room.parent == ROOT / "bench"}
    assert names | {"api", "cli"} == set().union(*FLOORS)
    counts = {str(room.relative_to(ROOT)): len(list(room.glob("*.py"))) for room in rooms}
    assert {room for room, count in counts.items() if count - 1 > 12} == set(LARGE)  # __init__.py does not count


@pytest.mark.parametrize(
    ("top", "allowed"),
    [("common", {"common"}), ("methods", {"methods", "tasks"}), ("tasks", {"tasks", "common"})],
)
def test_methods_tasks_and_what_they_stand_on_know_nothing_above_them(top: str, allowed: set[str]) -> None:
    for path in (ROOT / top).rglob("*.py"):
        assert top_folders(path) <= allowed, path


def test_a_method_knows_responses_and_no_task() -> None:
    for path in (ROOT / "methods").glob("*.py"):
        of_tasks = {module for module in imports(path.read_text()) if module.startswith("distillbench.tasks.")}
        allowed = ("distillbench.tasks.response", "distillbench.tasks.settings")  # of any task
        assert {module for module in of_tasks if not module.startswith(allowed)} == set(), path
        assert "task ==" not in path.read_text()


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, distillbench; assert 'torch' not in sys.modules"
    assert finish([sys.executable, "-c", code]).returncode == 0


def test_what_a_plugin_needs_is_in_the_package_itself() -> None:
    import distillbench
    from distillbench.methods.base import Method

    assert distillbench.Method is Method
    assert all(getattr(distillbench, name) is not None for name in distillbench.__all__)

"""The arrows point one way (docs/architecture.md), and the project speaks of itself alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from conftest import finish

ROOT = Path(__file__).resolve().parents[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda p: p.stem)
def test_a_method_knows_responses_and_no_task(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] in ("bench", "tasks")}
    assert ours <= {"distillbench.tasks.response"}


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").rglob("*.py")), ids=lambda p: p.stem)
def test_a_task_knows_neither_methods_nor_the_harness(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in ("bench", "methods")}


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, bench; assert 'torch' not in sys.modules"
    assert finish([sys.executable, "-c", code]).returncode == 0


def test_methods_ask_for_no_task_by_name() -> None:
    for path in (ROOT / "methods").glob("*.py"):
        assert "task ==" not in path.read_text()

"""The digest of code: an edit of what is computed changes it, an edit of words does not."""

from __future__ import annotations

import ast
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillbench.bench.store.fingerprint import _canonical, code_digest
from distillbench.bench.suite.registry import METHODS, TASKS

PACKAGE = {
    "__init__.py": "",
    "cosine.py": """
        from distillbench.methods.base import Method
        from digest_example.angles import angle
        class Cosine(Method):
            pass
        """,
    "angles.py": """
        from . import powers
        def angle(x):
            return powers.square(x)
        """,
    "powers.py": "def square(x):\n    return x * x\n",
    "unused.py": "x = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "digest_example"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("digest_example")]:
        del sys.modules[name]


def digest() -> str:
    code_digest.cache_clear()
    return code_digest(importlib.import_module("digest_example.cosine").Cosine)


def test_the_digest_follows_what_a_method_imports_in_turn(package: Path) -> None:
    before = digest()
    assert digest() == before
    with (package / "unused.py").open("a") as file:
        file.write("y = 2\n")
    assert digest() == before
    (package / "powers.py").write_text("def square(x):\n    return x * x * 1.0\n")
    assert digest() != before


def rewrite(package: Path, **texts: str) -> None:
    for name, text in texts.items():
        (package / f"{name}.py").write_text(textwrap.dedent(text))


def test_the_name_and_place_of_a_module_do_not_count(package: Path) -> None:
    before = digest()
    (package / "powers.py").rename(package / "squares.py")
    rewrite(package, angles=PACKAGE["angles.py"].replace("import powers", "import squares as powers"))
    assert digest() == before
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").touch()
    (package / "squares.py").rename(package / "inner" / "squares.py")
    rewrite(
        package, angles=PACKAGE["angles.py"].replace("from . import powers", "from .inner import squares as powers")
    )
    assert digest() == before


ROOTS = """
    from math import sqrt
    from .powers import square as f
    from .powers import cube
    def angle(x):
        return f(sqrt(x)) + cube(x)
    """
POWERS = "def square(x):\n    return x * x\ndef cube(x):\n    return x * x * x\n"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (
            "from .powers import square as f\n    from .powers import cube",
            "from .powers import cube, square as f",
            True,
        ),
        ("from .powers import square as f", "from digest_example.powers import square as f", True),
        (
            "from math import sqrt\n    from .powers import cube",
            "from .powers import cube\n    from math import sqrt",
            True,
        ),
        ("from math import sqrt", "from math import log as sqrt", False),
        ("from math import sqrt", "from cmath import sqrt", False),
        ("from math import sqrt", "from numpy import sqrt", False),
        ("import square as f", "import cube as f", False),
        ("from .powers import square as f", "from .others import square as f", False),
        ("from .powers import square as f", "from .powers import square", False),
    ],
)
def test_what_is_imported_counts_and_how_it_is_written_does_not(package: Path, old: str, new: str, same: bool) -> None:
    """others is imported by both: which of two functions of one name is taken decides all the same."""
    start = f"from . import others\n{textwrap.dedent(ROOTS)}"
    others = POWERS.replace("x * x", "x + x")
    rewrite(package, angles=start, powers=POWERS, others=others)
    before = digest()
    rewrite(package, angles=f"from . import others\n{textwrap.dedent(ROOTS.replace(old, new))}")
    assert (digest() == before) is same


def test_modules_that_import_each_other_have_a_digest(package: Path) -> None:
    rewrite(package, powers="from . import angles\ndef square(x):\n    return x * x\n")
    before = digest()
    rewrite(package, powers="from . import angles\ndef square(x):\n    return x + x\n")
    assert digest() != before


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("x = 1  # why", "# because\nx = (1)", True),
        ('def f():\n    """Doc."""\n    return 1', "def f(): return 1", True),
        ('X = 1\n"""What it is."""', 'X = 1\n"""Something else."""', True),
        ("class A:\n    b: int = Field(1, description='x')", "class A:\n    b: int = Field(1, description='y')", True),
        ("b: Annotated[float, LogUniform(1, 2)] = 1", "b: Annotated[float, LogUniform(1, 3)] = 1", True),
        ("b: Annotated[int, Choice((1, 2))] = 1", "b: Annotated[int, Choice((1, 2))] = 2", False),
        ("class A:\n    b: int = Field(1, ge=0)", "class A:\n    b: int = Field(2, ge=0)", False),
        ("x = 1", "x = 2", False),
        ("x = None", "x = 0", False),
        ("x = 1", "x = True", False),
        ("x = 'a'", "y = 'a'", False),
        ("f(1)", "f('1')", False),
        ("x += 1", "x -= 1", False),
    ],
)
def test_words_do_not_count_and_code_does(first: str, second: str, same: bool) -> None:
    assert (_canonical(ast.parse(first)) == _canonical(ast.parse(second))) is same


def test_tasks_that_share_no_module_do_not_share_a_digest() -> None:
    digests = {name: code_digest(TASKS.get(name)) for name in TASKS.names()}
    digests |= {name: code_digest(METHODS.get(name)) for name in METHODS.names()}
    assert len(set(digests.values())) == len(digests)

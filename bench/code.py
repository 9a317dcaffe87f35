"""Which code decides a figure: a digest that an edit of what is computed changes, and an edit of a comment does not."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator
from functools import cache
from importlib.util import resolve_name
from typing import Any

from naming.source import local_root, source_file

TRAINING = "bench.training"
"""Decides what every learner becomes, whatever its task and method."""


@cache
def code_digest(cls: type[Any]) -> str:
    """SHA-256 of the source that decides what a task or a method computes: an edit makes its finished cells stale.

    That is the module of the class and the training loop, with all that these import, in turn, of this project and of
    the class's own package. Comments, docstrings, layout, descriptions and search spaces of fields do not count.
    """
    return module_digest(cls.__module__)


def module_digest(name: str, beside: Collection[str] = ()) -> str:
    """Of the class that a module holds; it is not imported, its packages are.

    beside: further modules that decide it, of a user: with all that they import from their own folder; of an installed
    package, of which the version tells, their file alone.
    """
    packages = {"bench", "tasks", "methods", name.partition(".")[0]}
    roots = {local_root(module) for module in beside} - {None}
    waiting, found = [name, *beside, TRAINING], dict[str, str]()
    while waiting:
        module = waiting.pop()
        local = bool(roots) and local_root(module) in roots
        wanted = local or module in beside or module.partition(".")[0] in packages
        if module in found or not wanted or (path := source_file(module)) is None:
            continue
        if module in beside and not local:
            found[module] = hashlib.sha256(path.read_bytes()).hexdigest()
            continue
        if local and (parent := module.rpartition(".")[0]):
            waiting.append(parent)
        tree = ast.parse(path.read_bytes())
        found[module] = hashlib.sha256(_canonical(tree).encode()).hexdigest()
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        waiting += _imports(tree, package)
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in sorted(found.items())).encode()).hexdigest()


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """What a module imports, and what each imported name would be if it were a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _canonical(node: Any) -> str:
    """The syntax tree as text, the same for all versions of Python that know the syntax."""
    if isinstance(node, list):
        return f"[{','.join(_canonical(item) for item in node if not _says_nothing(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (
        f"{name}={_canonical(value)}"
        for name, value in ast.iter_fields(node)
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment")
    )
    return f"{type(node).__name__}({','.join(fields)})"


SEARCH_SPACES = ("LogUniform", "Choice")
"""Marks in a field's annotation that say what tuning may choose from: no figure depends on them."""


def _says_nothing(node: Any) -> bool:
    """Docstrings, also those of variables, and descriptions and search spaces of fields."""
    if isinstance(node, ast.keyword):
        return node.arg == "description"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in SEARCH_SPACES
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

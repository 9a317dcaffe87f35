"""What identifies a configuration beside its settings: files by their content, and the code that decides a figure.

An edit of what is computed changes the digest of code; an edit of a comment, a module's name or place does not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from distillbench.common.source import local_root, source_file

PREFIX = "sha256:"
CODE = "code"
"""The key of a network's digest, beside its settings."""
TRAINING = "distillbench.bench.training.loop"
"""Decides what every learner becomes, whatever its task and method."""
DECISIVE = ("distillbench.bench", "distillbench.methods", "distillbench.tasks")
"""The packages of this project whose code can decide a figure."""
SEARCH_SPACES = ("LogUniform", "Choice")
"""Marks in a field's annotation that say what tuning may choose from: no figure depends on them."""


@cache
def code_digest(cls: type[Any]) -> str:
    """The digest of the source that decides what a task or a method computes: an edit makes its finished runs stale.

    That is the module of the class and the training loop, with all that these import, in turn, of this project and of
    the class's own package. Comments, docstrings, layout, descriptions and search spaces of fields do not count, nor
    what modules are called and where they lie.
    """
    return module_digest(cls.__module__)


def module_digest(name: str, beside: Collection[str] = ()) -> str:
    """SHA-256 of the code that a module's class depends on. The module is not imported, its packages are.

    Args:
        name: the module, dotted.
        beside: further modules that decide what it computes, a user's: with all that they import from their own folder;
            of an installed package, which is identified by its version, their file alone.
    """
    roots = {local_root(module) for module in beside} - {None}
    waiting, digests = [name, *beside, TRAINING], dict[str, str]()
    own_package = name.partition(".")[0]

    def counts(module: str) -> bool:
        if module.partition(".")[0] == "distillbench":
            return f"{module}.".startswith(tuple(f"{package}." for package in DECISIVE))
        return module.partition(".")[0] == own_package or module in beside or _local(module, roots)

    while waiting:
        module = waiting.pop()
        if module in digests or not counts(module) or (path := source_file(module)) is None:
            continue
        if module in beside and not _local(module, roots):
            digests[module] = hashlib.sha256(path.read_bytes()).hexdigest()
            continue
        if _local(module, roots) and (parent := module.rpartition(".")[0]):
            waiting.append(parent)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        imported = _Imports(package, counts)
        tree = imported.visit(ast.parse(path.read_bytes()))
        digests[module] = hashlib.sha256(f"{sorted(imported.names)}\n{_canonical(tree)}".encode()).hexdigest()
        waiting += imported.modules
    return hashlib.sha256("\n".join(sorted(set(digests.values()))).encode()).hexdigest()


def _local(module: str, roots: Collection[Path | None]) -> bool:
    return bool(roots) and local_root(module) in roots


class _Imports(ast.NodeTransformer):
    """Takes out the import statements whose modules count: what is imported is in the digest by its content.

    What stays of them is which name is taken, and what it is called here. Imports of other packages stay as they are.
    """

    def __init__(self, package: str, counts: Callable[[str], bool]) -> None:
        self.package, self.counts = package, counts
        self.modules: list[str] = []
        self.names: list[tuple[str, str]] = []

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        self.modules += [alias.name for alias in node.names]
        ours = [alias for alias in node.names if self._ours(alias.name)]
        self.names += [("", alias.asname or alias.name.partition(".")[0]) for alias in ours]
        return self._rest(node, ours)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        source = resolve_name("." * node.level + (node.module or ""), self.package) if node.level else node.module or ""
        self.modules += [source, *(f"{source}.{alias.name}" for alias in node.names)]
        ours = node.names if self._ours(source) else []
        self.names += [(alias.name, alias.asname or alias.name) for alias in ours]
        return self._rest(node, ours)

    def _ours(self, module: str) -> bool:
        return module.partition(".")[0] == "distillbench" or self.counts(module)

    @staticmethod
    def _rest(node: ast.Import | ast.ImportFrom, ours: list[ast.alias]) -> ast.AST | None:
        node.names = [alias for alias in node.names if alias not in ours]
        return node if node.names else None


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


def _says_nothing(node: Any) -> bool:
    """Docstrings, also those of variables, and descriptions and search spaces of fields."""
    if isinstance(node, ast.keyword):
        return node.arg == "description"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in SEARCH_SPACES
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def described(settings: BaseModel, prefix: str = "", leave: Collection[str] = ()) -> dict[str, Any]:
    """Settings in JSON terms, but for what is left out. prefix: what they are called in a suite, for messages.

    Raises DataError for a file that cannot be read.
    """
    from distillbench.tasks.data.files import file_digest
    from distillbench.tasks.networks.base import Network

    found: dict[str, Any] = {}
    for name, dumped in settings.model_dump(mode="json", exclude={*leave}).items():
        value, place = getattr(settings, name), f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Path):
            found[name] = PREFIX + file_digest(value, place)
        elif isinstance(value, Network):
            code = _code(type(value).__module__, value.sources)
            found[name] = {**described(value, place), CODE: PREFIX + code}
        else:
            found[name] = dumped
    return found


@cache
def _code(module: str, sources: tuple[str, ...]) -> str:
    return module_digest(module, sources)


def forget_code() -> None:
    """Networks' code is looked at again when it is asked for next."""
    _code.cache_clear()


def without(values: Any, file: str = "") -> dict[str, Any]:
    """Of a configuration's settings those that a suite can have: all but digests. file: in place of a file's."""
    if not isinstance(values, Mapping):
        return {}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found[key] = without(value, file)
        elif not (isinstance(value, str) and value.startswith(PREFIX)):
            found[key] = value
        elif file and key != CODE:
            found[key] = file.format(digest=value)
    return found

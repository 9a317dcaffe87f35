"""Digests that identify a configuration beside its settings: of files, and of the code that decides its results.

An edit of what is computed changes the digest of code; an edit of a comment, a module's name or place does not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping
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
"""The module that decides what every learner becomes, whatever its task and method."""
DECISIVE = ("distillbench.bench", "distillbench.methods", "distillbench.tasks")
"""The packages of this project whose code can decide a result."""
SEARCH_SPACES = ("LogUniform", "Choice")
"""Marks in a field's annotation that say what tuning may choose from: no result depends on them."""


@cache
def code_digest(cls: type[Any]) -> str:
    """The digest of the source that decides what a task or a method computes: an edit makes its finished runs stale.

    That is the module of the class and the training loop, with all that these import, in turn, of this project and of
    the class's own package. Comments, docstrings, layout, descriptions and search spaces of fields do not count, nor
    what modules are called, where they lie, and how import statements are laid out.
    """
    return module_digest(cls.__module__)


def module_digest(name: str, beside: Collection[str] = ()) -> str:
    """SHA-256 of the code that a module's class depends on. The module is not imported, its packages are.

    Args:
        name: the module, dotted.
        beside: further modules that decide what it computes, a user's: with all that they import from their own folder;
            of an installed package, which is identified by its version, their file alone.
    """
    code, imports = _collected(name, beside)
    digests = {
        _sha256(f"{digest}\n{sorted({_identified(entry, code) for entry in imports[module]})}".encode())
        for module, digest in code.items()
    }
    return _sha256("\n".join(sorted(digests)).encode())


Import = tuple[str, str, str]
"""An imported name: the module that it comes from, its name there ('' for the module itself), its name here."""


def _collected(name: str, beside: Collection[str]) -> tuple[dict[str, str], dict[str, set[Import]]]:
    """Collect every module that counts: the digest of its own code, without import statements, and what it imports."""
    roots = {local_root(module) for module in beside} - {None}
    own_package = name.partition(".")[0]

    def counts(module: str) -> bool:
        if module.partition(".")[0] == "distillbench":
            return f"{module}.".startswith(tuple(f"{package}." for package in DECISIVE))
        return module.partition(".")[0] == own_package or module in beside or _local(module, roots)

    waiting = [name, *beside, TRAINING]
    code: dict[str, str] = {}
    imports: dict[str, set[Import]] = {}
    while waiting:
        module = waiting.pop()
        if module in code or not counts(module) or (path := source_file(module)) is None:
            continue
        if module in beside and not _local(module, roots):
            code[module], imports[module] = _sha256(path.read_bytes()), set()
            continue
        if _local(module, roots) and (parent := module.rpartition(".")[0]):
            waiting.append(parent)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        code[module], imports[module] = _parsed(path.read_bytes(), package)
        waiting += (place for source, name, _ in imports[module] for place in (source, f"{source}.{name}"))
    return code, imports


@cache
def _parsed(source: bytes, package: str) -> tuple[str, set[Import]]:
    """The digest of a module's own code, without import statements, and what it imports. package: where it lies."""
    tree = ast.parse(source)
    return _sha256(_canonical(tree).encode()), set(_imports(tree, package))


def _imports(tree: ast.Module, package: str) -> Iterator[Import]:
    """The imports of a module, wherever they stand. package: where its relative imports start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", alias.asname or alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            source = resolve_name(source, package) if node.level else source
            yield from ((source, alias.name, alias.asname or alias.name) for alias in node.names)


def _identified(entry: Import, code: Mapping[str, str]) -> Import:
    """The import with its module's code in place of the module's name; other packages are identified by their names."""
    source, name, alias = entry
    if (module := f"{source}.{name}") in code:
        return code[module], "", alias
    package = source.partition(".")[0]
    return code.get(source, package if package == "distillbench" else source), name, alias


def _local(module: str, roots: Collection[Path | None]) -> bool:
    return bool(roots) and local_root(module) in roots


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    """Imports (by what they bring in), docstrings, also of variables, and descriptions and search spaces of fields."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.keyword):
        return node.arg == "description"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in SEARCH_SPACES
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def described(settings: BaseModel, prefix: str = "", leave: Collection[str] = ()) -> dict[str, Any]:
    """Settings in JSON terms, files by their content and networks with the digest of their code.

    Args:
        settings: of a task, a recipe or a network.
        prefix: what they are called in a suite, for messages.
        leave: names of settings to leave out.

    Raises:
        DataError: a file cannot be read.
    """
    from distillbench.tasks.data.files import file_digest
    from distillbench.tasks.networks.base import Network

    table: dict[str, Any] = {}
    for name, dumped in settings.model_dump(mode="json", exclude={*leave}).items():
        value, place = getattr(settings, name), f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Path):
            table[name] = PREFIX + file_digest(value, place)
        elif isinstance(value, Network):
            code = _code(type(value).__module__, value.sources)
            table[name] = {**described(value, place), CODE: PREFIX + code}
        else:
            table[name] = dumped
    return table


@cache
def _code(module: str, sources: tuple[str, ...]) -> str:
    return module_digest(module, sources)


def forget_code() -> None:
    """Make the next call read the code of networks again."""
    _code.cache_clear()


def without_digests(values: Any, file: str = "") -> dict[str, Any]:
    """The settings of a configuration as a suite can have them, without digests.

    Args:
        values: the settings, from a record that anybody may have written.
        file: what to put in the place of a file's digest, with ``{digest}`` in it; '': nothing.
    """
    if not isinstance(values, Mapping):
        return {}
    table: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            table[key] = without_digests(value, file)
        elif not (isinstance(value, str) and value.startswith(PREFIX)):
            table[key] = value
        elif file and key != CODE:
            table[key] = file.format(digest=value)
    return table

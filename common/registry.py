"""Methods, tasks and networks by name: the files of a package, and what other packages register by entry point.

Names are known without importing anything; a class is imported when it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Generic, TypeVar, cast

from distillbench.common.errors import UserError, check_name
from distillbench.common.source import source_file

T = TypeVar("T")
CONTRACT = frozenset({"base", "settings", "response", "interfaces", "registry"})
"""Modules of the packages that do not hold a method, task or network."""


class Registry(Generic[T]):
    """The classes of one kind that a suite can name.

    Args:
        kind: what a class is called in messages: "method", "task", "network".
        package: whose modules ``NAME.py`` each hold one class, which is called NAME.
        base: the name of their base class, in the package's module ``base``.
    """

    def __init__(self, kind: str, package: str, base: str) -> None:
        self.kind, self.package, self.base = kind, package, base

    @cached_property
    def built_in(self) -> frozenset[str]:
        """The names of this project's own classes."""
        paths = [str(Path(p)) for p in importlib.import_module(self.package).__path__]
        return frozenset(m.name for m in iter_modules(paths) if not m.ispkg) - CONTRACT

    @cached_property
    def registered(self) -> dict[str, EntryPoint]:
        """The entry points of other packages, by name."""
        return {point.name: point for point in entry_points(group=f"distillbench.{self.package.rpartition('.')[2]}")}

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.built_in | self.registered.keys())

    def check(self, name: str) -> None:
        """Raise UserError, with a suggestion, where no class has this name."""
        check_name(self.kind, name, self.names())

    def first_line(self, name: str) -> str:
        """The first line of a class's docstring, or why it cannot be used: a list must not break on one bad entry."""
        line = self._first_line_of_source(name)
        if line is None:
            try:
                line = (self.get(name).__doc__ or "").strip().partition("\n")[0]
            except UserError as error:
                line = f"cannot be used: {error}"
        if name in self.built_in and name in self.registered:
            return f"{line} (built in; hides {self.registered[name].value}, which is registered under the same name)"
        return line

    def _first_line_of_source(self, name: str) -> str | None:
        """The first line, read without importing the module, which would import torch; None where that fails."""
        if name in self.built_in:
            module, class_ = f"{self.package}.{name}", name.replace("_", "")
        else:
            module, class_ = self.registered[name].module, self.registered[name].attr
        try:
            path = source_file(module)
            tree = ast.parse(path.read_bytes()) if path else ast.Module([], [])
        except (ImportError, ValueError, OSError, SyntaxError):
            return None
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases and node.name.lower() == class_.lower():
                return (ast.get_docstring(node) or "").partition("\n")[0] or None
        return None

    def get(self, name: str) -> type[T]:
        """The class of this name; another package cannot replace a built-in one. Raises UserError where it fails."""
        self.check(name)
        base = getattr(importlib.import_module(f"{self.package}.base"), self.base)
        if name in self.built_in:
            module = importlib.import_module(f"{self.package}.{name}")
            classes = [
                value
                for value in vars(module).values()
                if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
            ]
            if len(classes) != 1:
                raise UserError(f"must define one {self.base}, and defines {len(classes)}", str(module.__file__))
            return cast(type[T], classes[0])
        point = self.registered[name]
        try:
            loaded = point.load()
        except Exception as error:  # another package's import can fail in any way
            hint = _import_hint(error.name) if isinstance(error, ModuleNotFoundError) else ""
            raise UserError(f"{self.kind} {name!r} ({point.value}) cannot be imported: {error}{hint}") from error
        if not (inspect.isclass(loaded) and issubclass(loaded, base)):
            bases = inspect.getmro(loaded) if inspect.isclass(loaded) else ()
            hint = next(filter(None, (_import_hint(cls.__module__) for cls in bases)), "")
            raise UserError(f"{self.kind} {name!r} ({point.value}) is not a subclass of distillbench.{self.base}{hint}")
        return cast(type[T], loaded)


def _import_hint(module: str | None) -> str:
    """What to write in place of an import from this project's former packages; '' for other modules."""
    package = (module or "").partition(".")[0]
    if package not in ("bench", "methods", "naming", "tasks"):
        return ""
    where = f"distillbench.{module}" if package in ("methods", "tasks") else "distillbench"
    return f"; write 'from {where} import …' in place of 'from {module} import …'"

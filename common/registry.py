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
"""Modules of the packages that are no method, task or network themselves."""


class Registry(Generic[T]):
    """What can be named in a suite. A module ``package/NAME.py`` holds the one class called NAME."""

    def __init__(self, kind: str, package: str, base: str) -> None:
        self.kind, self.package, self.base = kind, package, base

    @cached_property
    def built_in(self) -> frozenset[str]:
        paths = [str(Path(p)) for p in importlib.import_module(self.package).__path__]
        return frozenset(m.name for m in iter_modules(paths) if not m.ispkg) - CONTRACT

    @cached_property
    def registered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=f"distillbench.{self.package.rpartition('.')[2]}")}

    def names(self) -> list[str]:
        return sorted(self.built_in | self.registered.keys())

    def check(self, name: str) -> None:
        """Raise UserError, with a suggestion, where nothing has this name."""
        check_name(self.kind, name, self.names())

    def first_line(self, name: str) -> str:
        """What the class says of itself, or why it cannot be used: a list must not break on one bad entry."""
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
        """Without importing the module, which would import torch; None where it cannot be read off the source."""
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
        """The class of this name. Built-ins come first: another package cannot replace one."""
        self.check(name)
        base = getattr(importlib.import_module(f"{self.package}.base"), self.base)
        if name in self.built_in:
            module = importlib.import_module(f"{self.package}.{name}")
            found = [
                value
                for value in vars(module).values()
                if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
            ]
            if len(found) != 1:
                raise UserError(f"{module.__file__} must define one {self.base}, and defines {len(found)}")
            return cast(type[T], found[0])
        point = self.registered[name]
        try:
            loaded = point.load()
        except Exception as error:  # another package's import can fail in any way
            hint = _written_now(error.name) if isinstance(error, ModuleNotFoundError) else ""
            raise UserError(f"{self.kind} {name!r} ({point.value}) cannot be imported: {error}{hint}") from error
        if not (inspect.isclass(loaded) and issubclass(loaded, base)):
            bases = inspect.getmro(loaded) if inspect.isclass(loaded) else ()
            hint = next(filter(None, (_written_now(cls.__module__) for cls in bases)), "")
            raise UserError(f"{self.kind} {name!r} ({point.value}) is not a subclass of distillbench.{self.base}{hint}")
        return cast(type[T], loaded)


def _written_now(module: str | None) -> str:
    """What to write in place of an import of a name that this package had before all of it was in one."""
    package = (module or "").partition(".")[0]
    if package not in ("bench", "methods", "naming", "tasks"):
        return ""
    where = f"distillbench.{module}" if package in ("methods", "tasks") else "distillbench"
    return f"; write 'from {where} import …' in place of 'from {module} import …'"

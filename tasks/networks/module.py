"""A network of the user's own: a function or class that makes one."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints
from torch import nn

from distillbench.common.source import source_file
from distillbench.tasks.networks.base import Ends, Network, UnfitError


class Module(Network):
    """A module that a factory of yours makes, found by import, or in the working directory.

    The factory gets its arguments, and by name what else it asks for: shape (channels, height, width), classes, latent
    or scale, as the task has them.
    """

    name: Literal["module"] = "module"
    kinds: ClassVar[frozenset[str]] = frozenset(
        {"classifier", "generator", "discriminator", "autoencoder", "super_resolver", "denoiser", "styliser"}
    )
    runs: ClassVar[tuple[str, ...]] = ("factory",)
    factory: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] = Field(
        description="package.module:function"
    )
    arguments: dict[str, Any] = Field({}, description="of the factory")

    @property
    def sources(self) -> tuple[str, ...]:
        module = self.factory.partition(":")[0]
        findable()
        try:
            return (module,) if source_file(module) else ()
        except Exception:  # a package above it is imported, and may fail in any way: what is wrong, build says
            return ()

    def load(self) -> None:
        self._factory()

    def build(self, ends: Ends) -> nn.Module:
        factory = self._factory()
        try:
            with redirect_stdout(sys.stderr):
                made = factory(**_asked_for(factory, ends), **self.arguments)
        except (Exception, SystemExit) as error:  # the user's code may fail in any way
            raise UnfitError(f"{self.factory} raised {type(error).__name__}: {error}") from error
        if not isinstance(made, nn.Module):
            raise UnfitError(f"{self.factory} returned {_article(type(made).__name__)}, no torch.nn.Module")
        return made

    def _factory(self) -> Callable[..., Any]:
        module, _, name = self.factory.partition(":")
        findable()
        try:
            with redirect_stdout(sys.stderr):  # what it prints is no output of the program
                found: Any = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # what is imported is the user's code
            where = f"; looked for in {Path.cwd()} and among the installed packages"
            hint = where if isinstance(error, ModuleNotFoundError) else ""
            raise UnfitError(f"{module} cannot be imported ({type(error).__name__}: {error}){hint}") from error
        for part in name.split("."):
            if not hasattr(found, part):
                raise UnfitError(f"{module} has no {name}")
            found = getattr(found, part)
        if not callable(found):
            raise UnfitError(f"{self.factory} is {_article(type(found).__name__)} and cannot be called")
        return found  # type: ignore[no-any-return]


def findable() -> None:
    """Modules of the working directory, behind all others; a script that is installed does not look there."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _asked_for(factory: Callable[..., Any], ends: Ends) -> dict[str, Any]:
    """What the factory's parameters name of what the task has."""
    has: dict[str, Any] = {"scale": ends.scale}
    if None not in (ends.takes if len(ends.takes) == 3 else ends.gives):
        has["shape"] = ends.shape
    if ends.latent is not None:
        has["latent"] = ends.latent
    if ends.kind == "classifier":
        has["classes"] = ends.classes
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in has.items() if name in parameters}


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"

"""A network of the user: a function or class that returns a module."""

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
    """A module that a factory of yours returns, which is imported, also from the working directory.

    The factory gets its arguments, and those of these parameters that it has: shape (channels, height, width), classes,
    latent and scale, as in the task.
    """

    name: Literal["module"] = "module"
    kinds: ClassVar[frozenset[str]] = frozenset(
        {"classifier", "generator", "discriminator", "autoencoder", "super_resolver", "denoiser", "styliser"}
    )
    runs: ClassVar[tuple[str, ...]] = ("factory",)
    factory: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] = Field(
        description="package.module:function"
    )
    arguments: dict[str, Any] = Field({}, description="keyword arguments of the factory")

    @property
    def sources(self) -> tuple[str, ...]:
        module = self.factory.partition(":")[0]
        findable()
        try:
            return (module,) if source_file(module) else ()
        except Exception:  # a package above it is imported and may fail in any way: build reports it
            return ()

    def load(self) -> None:
        self._factory()

    def build(self, ends: Ends) -> nn.Module:
        factory = self._factory()
        try:
            with redirect_stdout(sys.stderr):
                network = factory(**_task_arguments(factory, ends), **self.arguments)
        except (Exception, SystemExit) as error:  # the user's code may fail in any way
            raise UnfitError(f"{self.factory} raised {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            returned = type(network).__name__
            raise UnfitError(f"{self.factory} returned a value of type {returned} (expected torch.nn.Module)")
        return network

    def _factory(self) -> Callable[..., Any]:
        module, _, name = self.factory.partition(":")
        findable()
        try:
            with redirect_stdout(sys.stderr):  # what it prints is not the output of the program
                target: Any = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # what is imported is the user's code
            searched = f"; searched in {Path.cwd()} and among the installed packages"
            hint = searched if isinstance(error, ModuleNotFoundError) else ""
            raise UnfitError(f"{module} cannot be imported ({type(error).__name__}: {error}){hint}") from error
        for part in name.split("."):
            if not hasattr(target, part):
                raise UnfitError(f"{module} has no attribute {name!r}")
            target = getattr(target, part)
        if not callable(target):
            raise UnfitError(f"{self.factory} is a value of type {type(target).__name__} and cannot be called")
        return target  # type: ignore[no-any-return]


def findable() -> None:
    """Append the working directory to the import path, where an installed script does not look."""
    directory = str(Path.cwd())
    if directory not in sys.path and "" not in sys.path:
        sys.path.append(directory)


def _task_arguments(factory: Callable[..., Any], ends: Ends) -> dict[str, Any]:
    """Return the task's shapes that the factory has a parameter for."""
    arguments: dict[str, Any] = {"scale": ends.scale}
    if None not in (ends.takes if len(ends.takes) == 3 else ends.gives):
        arguments["shape"] = ends.shape
    if ends.latent is not None:
        arguments["latent"] = ends.latent
    if ends.kind == "classifier":
        arguments["classes"] = ends.classes
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in arguments.items() if name in parameters}

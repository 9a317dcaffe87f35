"""The contract of a network: settings that say what it is, and build it between the ends that a task has.

A module ``tasks/networks/NAME.py`` holds the one class called NAME; other packages register theirs under the entry
point group ``distillbench.networks``. docs/bring-your-own.md says what each kind of network takes and gives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field, GetCoreSchemaHandler, SerializeAsAny, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from torch import nn

from distillbench.common.errors import UserError, did_you_mean
from distillbench.common.settings import Frozen
from distillbench.tasks.networks.interfaces import Ends as Ends
from distillbench.tasks.networks.registry import NETWORKS

Hidden = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=100)]
"""Units of hidden layers; how many fit is a matter of memory."""


class UnfitError(ValueError):
    """A network cannot be built between these ends; one line that says why."""


class Network(Frozen, ABC):
    """Settings of one architecture. A subclass fixes ``name`` to what it is registered as."""

    name: str
    kinds: ClassVar[frozenset[str]]
    """What it can be built as: the ``kind`` of tasks' interfaces."""
    trainable: ClassVar[bool] = True
    """Whether it has weights, and gradients pass through it."""

    runs: ClassVar[tuple[str, ...]] = ()
    """Settings that name code to import and run: these are never taken from a record."""

    @abstractmethod
    def build(self, ends: Ends) -> nn.Module:
        """A new network, its weights drawn from torch's global generator. Raises UnfitError."""

    def __hash__(self) -> int:
        """Of what it says: some have tables of arguments."""
        return hash(self.model_dump_json())

    def load(self) -> None:
        """Import what it is built from: a package that is first imported on the meta device would stay there."""

    @property
    def least_side(self) -> int:
        """Of an image that it takes, pixels."""
        return 1

    @property
    def sources(self) -> tuple[str, ...]:
        """Modules beside its own whose code decides what it is."""
        return ()


@dataclass(frozen=True)
class OfKind:
    """Validates a table with a name as the settings of that network, where it is of this kind."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.resolve, handler(source))

    def resolve(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if not isinstance(name := value.get("name"), str):
            raise _at_name(f"name of a network missing{did_you_mean('', self.names())}", name)
        try:
            cls = NETWORKS.get(name) if name in NETWORKS.names() else None
        except UserError as error:
            raise _at_name(str(error), name) from error
        if cls is None or self.kind not in cls.kinds:
            what = "unknown network" if cls is None else f"no {self.kind.replace('_', '-')}:"
            raise _at_name(f"{what} {name!r}{did_you_mean(name, self.names())}", name)
        return cls.model_validate(value)

    def names(self) -> list[str]:
        """Of all networks of this kind."""
        return [name for name, cls in importable().items() if self.kind in cls.kinds]


def importable() -> dict[str, type[Network]]:
    """All networks whose module can be imported, by name."""
    found = {}
    for name in NETWORKS.names():
        try:
            found[name] = NETWORKS.get(name)
        except UserError:
            continue
    return found


def refusal(message: str, says_all: bool = True) -> PydanticCustomError:
    """Of a setting, for its validator to raise. says_all: what was given needs not be said behind the message."""
    return PydanticCustomError("network" if says_all else "setting", "{message}", {"message": message})


def _at_name(message: str, value: Any) -> ValidationError:
    details = InitErrorDetails(type=refusal(message), loc=("name",), input=value)
    return ValidationError.from_exception_data("network", [details])


Classifier: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("classifier")]
Generator: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("generator")]
Discriminator: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("discriminator")]
Autoencoder: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("autoencoder")]
SuperResolver: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("super_resolver")]
Denoiser: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("denoiser")]
Styliser: TypeAlias = Annotated[SerializeAsAny[Network], OfKind("styliser")]

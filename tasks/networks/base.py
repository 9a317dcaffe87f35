"""The contract of a network: settings that describe an architecture, and build it for the shapes of a task.

A module ``tasks/networks/NAME.py`` holds the one network called NAME; other packages register networks under the entry
point group ``distillbench.networks``. docs/bring-your-own.md says what each kind of network takes and returns.
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
"""Units of each hidden layer; memory alone limits them."""


class UnfitError(ValueError):
    """A network cannot be built for these shapes; the message says why in one line."""


class Network(Frozen, ABC):
    """The settings of one architecture; a subclass fixes ``name`` to the name that it is registered under.

    Attributes:
        name: the name in suites.
        kinds: the kinds of networks it can be built as, as ``Interface.kind`` names them.
        trainable: whether it has weights and lets gradients pass.
        runs: the settings that name code to import and run; they are never taken from a record.
    """

    name: str
    kinds: ClassVar[frozenset[str]]
    trainable: ClassVar[bool] = True
    runs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, ends: Ends) -> nn.Module:
        """Build a new network on the CPU, its weights drawn from torch's global generator.

        Args:
            ends: the shapes of the network's input and output.

        Raises:
            UnfitError: it cannot be built for these shapes.
        """

    def __hash__(self) -> int:
        """Hash the settings as JSON: some are tables, which have no hash."""
        return hash(self.model_dump_json())

    def load(self) -> None:
        """Import the packages that it is built from; one first imported on the meta device would stay there."""

    @property
    def least_side(self) -> int:
        """The smallest side, in pixels, of an image that it takes."""
        return 1

    @property
    def sources(self) -> tuple[str, ...]:
        """The modules, beside its own, whose code decides what it computes."""
        return ()


@dataclass(frozen=True)
class OfKind:
    """A validator of pydantic: a table with a name becomes the settings of that network, if it is of this kind."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.resolve, handler(source))

    def resolve(self, value: Any) -> Any:
        """Return the settings of the network that a table names, and anything else unchanged.

        Raises:
            ValidationError: there is no network of this name and kind.
        """
        if not isinstance(value, Mapping):
            return value
        if not isinstance(name := value.get("name"), str):
            raise _at_name(f"a network needs a name{did_you_mean('', self.names())}", name)
        try:
            cls = NETWORKS.get(name) if name in NETWORKS.names() else None
        except UserError as error:
            raise _at_name(str(error), name) from error
        if cls is None or self.kind not in cls.kinds:
            kind = f"{name!r} is not of the kind {self.kind!r}"
            problem = f"unknown network {name!r}" if cls is None else kind
            raise _at_name(f"{problem}{did_you_mean(name, self.names())}", name)
        return cls.model_validate(value)

    def names(self) -> list[str]:
        """Return the names of all networks of this kind."""
        return [name for name, cls in importable().items() if self.kind in cls.kinds]


def importable() -> dict[str, type[Network]]:
    """Return all networks whose module can be imported, by name."""
    networks = {}
    for name in NETWORKS.names():
        try:
            networks[name] = NETWORKS.get(name)
        except UserError:
            continue
    return networks


def refusal(message: str, says_all: bool = True) -> PydanticCustomError:
    """Return the error that the validator of a setting raises.

    Args:
        message: what is wrong.
        says_all: whether the message stands alone; else the value of the setting is printed behind it.
    """
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

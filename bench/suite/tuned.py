"""Files of chosen hyperparameters: what they were chosen with, and whether that is still so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from distillbench.bench.store.configurations import flat
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import CODE, PREFIX, code_digest
from distillbench.common.errors import warn_once

if TYPE_CHECKING:
    from distillbench.bench.suite.cells import Pair
    from distillbench.bench.suite.resolve import Entry, Suite
    from distillbench.methods.base import Method

LENGTH = 16
"""Hexadecimal digits of a digest: nobody makes two alike by accident."""


class Digests(BaseModel):
    """What hyperparameters were chosen with, each part as a digest: an edit of a comment changes none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(description="of task, method and student's network, and of the training")
    data: str = Field(description="of the images and how they are divided")
    settings: str = Field(description="of the task and the student, and the hyperparameters that were not chosen")
    teacher: str | None = Field(None, description="of its recipe and network, where the method depends on it")


DigestTables = Mapping[str, Mapping[str, Mapping[str, Digests]]]
"""By the names of task, pair and method."""


@dataclass(frozen=True)
class Tuned:
    """The chosen hyperparameters of one method on one pair.

    Attributes:
        file: the name of their file.
        names: those that are in effect.
        digests: what they were chosen with.
    """

    file: str
    names: frozenset[str]
    digests: Digests


def digests(pair: Pair, method: Method, names: Collection[str]) -> Digests:
    """The digests of all that the choice of some hyperparameters depends on, as it is now.

    Args:
        pair: that they are for.
        method: with the chosen hyperparameters.
        names: of these.
    """
    config: dict[str, Any] = pair.config
    settings = {key: value for key, value in config["settings"].items() if key != "teacher"}
    values, code = _divided(settings)
    sees_teacher = method.teacher not in ("none", "self") or method.steps_of == "teacher"
    return Digests(
        code=_digest([config["code"], code_digest(type(method)), code]),
        data=_digest(config["data"]),
        settings=_digest([values, method.model_dump(mode="json", exclude=set(names))]),
        teacher=_digest(config["settings"]["teacher"]) if sees_teacher else None,
    )


def _divided(settings: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, object]]:
    """Settings without the digests of networks' code, and these digests, by their dotted names."""
    fields = flat(settings)
    code = {name: value for name, value in fields.items() if name.rpartition(".")[2] == CODE and _is_digest(value)}
    return {name: value for name, value in fields.items() if name not in code}, code


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and value.startswith(PREFIX)


def _digest(value: Any) -> str:
    return canonical_hash(value)[:LENGTH]


def outdated(suite: Suite) -> list[str]:
    """A line for each pair with hyperparameters that were chosen with something else than what would run now.

    Values without digests, as those that were written by hand, are not looked at.
    """
    return [line for entry in suite.entries if (line := _outdated_in(entry))]


def _outdated_in(entry: Entry) -> str:
    methods: dict[str, list[str]] = {}
    for label, tuned in entry.tuned.items():
        if other := _differing(tuned.digests, digests(entry.pair, entry.methods[label], tuned.names)):
            methods.setdefault(other, []).append(label)
    parts = "; ".join(f"{', '.join(labels)} tuned with other {what}" for what, labels in methods.items())
    file = next((tuned.file for tuned in entry.tuned.values()), "")
    return f"{file}: {entry.pair.task}/{entry.pair.pair}: {parts}" if parts else ""


def _differing(before: Digests, now: Digests) -> str:
    """What differs, as 'code and data'."""
    return " and ".join(field for field in Digests.model_fields if getattr(before, field) != getattr(now, field))


def warn_of_outdated(suite: Suite) -> None:
    """Warn, in a line a pair, of hyperparameters that were chosen with something else than what would run now."""
    for line in outdated(suite):
        warn_once(line)

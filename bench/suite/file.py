"""What a user writes: suite files (TOML), tables from Python, and ``KEY=VALUE`` of the command line, as layers."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from distillbench.bench.suite.registry import METHODS, TASKS
from distillbench.bench.suite.tuned import Digests, DigestTables
from distillbench.bench.suite.validation import place_in, validate
from distillbench.common.errors import UserError, check_name
from distillbench.common.paths import expanded, expanded_setting

TUNED = ".tuned"
"""Before .toml: a file of chosen hyperparameters, which a suite includes."""
NONE = "none"
"""No value, in a file: TOML has none."""
SHIPPED = files("distillbench.bench") / "suites"
LONGEST_NAME = 64
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)]
"""Names become file names: nothing that could leave the results folder, or not fit there."""
Hyperparameters = dict[str, dict[str, Any]]
Seeds = tuple[Annotated[int, Field(ge=0)], ...]


class PairTable(BaseModel):
    """A ``[tasks.NAME.pair.PAIR]`` table: hyperparameters of this pair alone, and any of the task's settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    hyperparameters: Hyperparameters = Field({}, description="per method, for this pair")

    @property
    def settings(self) -> dict[str, Any]:
        """All but what the table's own fields are."""
        return dict(self.__pydantic_extra__ or {})


class TaskTable(PairTable):
    """A ``[tasks.NAME]`` table: which pairs, hyperparameters for this task alone, and any of the task's settings."""

    hyperparameters: Hyperparameters = Field({}, description="per method, for this task")
    pairs: tuple[Name, ...] | None = Field(None, min_length=1, description="network pairs; default: all there are")
    seeds: Seeds | None = Field(None, min_length=1, description="of the students of this task; default: the suite's")
    pair: dict[Name, PairTable] = Field({}, description="settings of one pair, or of a new one")


class SuiteTable(BaseModel):
    """A suite file: a benchmark matrix, and the settings that differ from the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field("suite", description="names the results folder; default: of the file")
    description: str = Field("", description="one line, for lists")
    seeds: Seeds = Field((0, 1, 2, 3, 4), min_length=1, description="of the students")
    methods: tuple[str, ...] = Field(
        ("scratch", "mimic", "temperature", "logistic", "cross_model"), description="rows of the tables; []: baselines"
    )
    tasks: dict[str, TaskTable] = Field({}, min_length=1, description="a table a task; an empty one: as the task is")
    hyperparameters: Hyperparameters = Field({}, description="per method, for every task")
    steps: int | None = Field(None, ge=1, description="optimiser steps of every student and teacher, in every task")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    teachers: Literal["shared", "per-seed"] = Field("shared", description="one teacher for all seeds, or one each")
    tuned: Path | None = Field(None, description="chosen hyperparameters (distillbench tune): a file beside this one")

    _home = field_validator("tuned")(expanded_setting)


class _DigestsTable(BaseModel):
    """What a file of chosen hyperparameters has beside them."""

    digests: dict[str, dict[str, dict[str, Digests]]]


@dataclass(frozen=True)
class Layer:
    """The settings that stand in one place.

    Attributes:
        source: how messages name the place.
        strict: whether a setting without effect is a mistake there.
        digests: of what was tuned, in a file of chosen hyperparameters.
    """

    source: str
    table: SuiteTable
    strict: bool = True
    digests: DigestTables = field(default_factory=dict)


@dataclass(frozen=True)
class Layers:
    """All places that settings of a suite come from; iterates from the weakest to the strongest."""

    suite: Layer
    tuned: Layer | None = None
    options: tuple[Layer, ...] = ()

    def __iter__(self) -> Iterator[Layer]:
        if self.tuned is not None:
            yield self.tuned
        yield from (self.suite, *self.options)

    def last(self, field: str) -> Any:
        """A field of the suite as a whole: as the strongest layer sets it, or its default; None for 'none'."""
        tables = [layer.table for layer in self if field in layer.table.model_fields_set]
        value = getattr(tables[-1] if tables else SuiteTable(), field)
        return None if str(value) == NONE else value

    def seeds(self, task: str) -> Seeds:
        """The seeds of a task: as the strongest layer sets them, for this task before all tasks."""
        seeds = SuiteTable().seeds
        for layer in self:
            if "seeds" in layer.table.model_fields_set:
                seeds = layer.table.seeds
            if (table := layer.table.tasks.get(task)) is not None:
                seeds = table.seeds or seeds
        return seeds


def shipped() -> dict[str, str]:
    """The suites that ship: the TOML text of each by its name."""
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(SHIPPED.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".toml") and not entry.name.endswith(f"{TUNED}.toml")
    }


def read_layers(
    suite: str | Path | Mapping[str, Any], overrides: Sequence[str], options: Mapping[str, Any], tuned: bool
) -> Layers:
    """Everything that a user wrote about a suite, each name and type in it checked.

    Args:
        suite: the name of a suite that ships, the path of a file, or a table as a file has it.
        overrides: settings as ``KEY=VALUE``.
        options: fields of the suite as a whole that the command line sets.
        tuned: whether the file of chosen hyperparameters is read.

    Raises:
        UserError: a file cannot be read, or something in it is unknown or of the wrong type.
    """
    own, folder = _read(suite)
    tables = [("--set", assigned(overrides))] if overrides else []
    tables += [(f"--{name}", {name: value}) for name, value in options.items()]
    layers = Layers(own, options=tuple(Layer(source, checked(table, source)) for source, table in tables))
    path = layers.last("tuned")
    if not tuned or path is None:
        return layers
    elsewhere = any("tuned" in layer.table.model_fields_set for layer in layers.options)
    return replace(layers, tuned=_read_tuned(path if elsewhere else folder / path))


def _read(suite: str | Path | Mapping[str, Any]) -> tuple[Layer, Path]:
    """A suite's own settings, and the folder that its paths of files start from."""
    if isinstance(suite, Mapping):
        source, table, folder = "suite", dict(suite), Path()
    elif str(suite) in (texts := shipped()):
        source, folder = f"suite {suite}", Path(str(SHIPPED))
        table = {"name": str(suite)} | _parse(texts[str(suite)], source)
    else:
        path = expanded(suite)
        if path.suffix != ".toml" and not path.exists():
            raise UserError(f"no suite {str(suite)!r}", allowed=[*sorted(texts), "a .toml file"], name=str(suite))
        source, folder = str(path), path.parent
        table = {"name": _name_of(path)} | _parse(_text(path), source)
    if "tasks" not in table:
        raise UserError("missing", source, "tasks")
    return Layer(source, checked(table, source)), folder


def _read_tuned(path: Path) -> Layer:
    """Chosen hyperparameters. Some may be of methods or tasks that a suite leaves out: that is not a mistake."""
    table, source = _parse(_text(path), str(path)), str(path)
    digests = validate(_DigestsTable, {"digests": table.pop("digests", {})}, place_in(source)).digests
    return Layer(source, checked(table, source), strict=False, digests=digests)


def _name_of(path: Path) -> str:
    """A suite's name from that of its file, without what a ``Name`` cannot have ('Prüfung (2)': 'Prufung-2')."""
    letters = unicodedata.normalize("NFKD", path.stem)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).lstrip("_.-")[:LONGEST_NAME].rstrip("-") or "suite"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin with a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", path) from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"is not valid TOML ({error})", source) from error


def assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """A table from ``KEY=VALUE``, a later one over an earlier; a value is TOML, otherwise a plain string."""
    table: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise UserError("must be KEY=VALUE, as in --set tasks.denoising.steps=200", f"--set {assignment}")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        holder = table
        for part in parts[:-1]:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise UserError(f"{part!r} is a value, not a table", f"--set {assignment}")
        holder[parts[-1]] = value
    return table


def checked(table: Mapping[str, Any], source: str) -> SuiteTable:
    """A table as the table of a suite, in which every method and task exists.

    Args:
        table: as it was read.
        source: how messages name the place of the table.

    Raises:
        UserError: a field is unknown or of the wrong type, or a name does not exist.
    """
    suite = validate(SuiteTable, table, place_in(source))
    for key in ("methods", "seeds"):
        values = getattr(suite, key)
        if len(set(values)) != len(values):
            raise UserError(f"has an entry twice: {', '.join(map(str, values))}", source, key)
    for name in suite.methods:
        check_name("method", name, METHODS.names(), source, "methods")
    _check_methods(suite.hyperparameters, source, "")
    for name, task in suite.tasks.items():
        check_name("task", name, TASKS.names(), source, f"tasks.{name}")
        _check_methods(task.hyperparameters, source, f"tasks.{name}.")
        for pair, pair_table in task.pair.items():
            _check_methods(pair_table.hyperparameters, source, f"tasks.{name}.pair.{pair}.")
    return suite


def _check_methods(tables: Hyperparameters, source: str, prefix: str) -> None:
    for name in tables:
        check_name("method", name, METHODS.names(), source, f"{prefix}hyperparameters")


def written(table: Mapping[str, Any]) -> str:
    """The table of a suite as TOML, lists of plain values in one line."""
    return re.sub(r"\[\n((?: {4}[^\[\]\n]+,\n)+)\]", _in_a_line, tomli_w.dumps(table))


def _in_a_line(array: re.Match[str]) -> str:
    return f"[{' '.join(array[1].split())[:-1]}]"

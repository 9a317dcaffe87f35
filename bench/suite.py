"""What to run: a suite file (TOML) and overrides -> a frozen, validated Suite -> cells."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bench.code import code_digest
from bench.errors import UserError, did_you_mean
from bench.preflight import check_networks
from bench.registry import METHODS, TASKS
from methods.base import Method
from tasks.base import Judge, Task, TaskSettings
from tasks.data.files import DataError

CONFIG_VERSION = 1
M = TypeVar("M", bound=BaseModel)
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""Names become file names: nothing that could leave the results folder, nothing that a file system has no room for."""


class TaskTable(BaseModel):
    """A ``[tasks.NAME]`` table: which pairs, hyperparameters for this task alone, and any of the task's settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    pairs: tuple[Name, ...] | None = Field(None, min_length=1, description="network pairs; default: all that ship")
    pair: dict[Name, dict[str, Any]] = Field({}, description="settings of one pair, or of a new one")
    hyperparameters: dict[str, dict[str, Any]] = Field({}, description="per method, for this task")

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Suite(BaseModel):
    """A benchmark matrix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    description: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2, 3, 4), min_length=1)
    methods: tuple[str, ...] = Field(("scratch", "mimic", "temperature", "logistic", "cross_model"), min_length=1)
    tasks: dict[str, TaskTable] = Field(min_length=1, description="a table a task; an empty one takes the defaults")
    hyperparameters: dict[str, dict[str, Any]] = Field({}, description="per method, for every task")
    steps: int | None = Field(None, ge=1, description="optimiser steps of every student and teacher, in every task")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    teachers: Literal["shared", "per-seed"] = Field("shared", description="one teacher for all seeds, or one each")


def canonical_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Pair:
    """One task with one pair of networks, resolved: what teachers, students and references of it share."""

    task: str
    pair: str
    settings: TaskSettings
    device: str

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: all but the judge, which holds the task and with it the data."""
        return {key: value for key, value in self.__dict__.items() if key != "judge"}

    def build(self, cache: Path | None = None) -> Task:
        """The task, its data not yet loaded, its judge not yet there. cache: where decoded images are kept."""
        return TASKS.get(self.task)(self.settings, self.device, cache)

    @cached_property
    def config(self) -> dict[str, Any]:
        cls = TASKS.get(self.task)
        settings = self.settings.model_dump(mode="json", exclude=set(self.settings.locations))
        return {
            "version": CONFIG_VERSION,
            "task": self.task,
            "code": code_digest(cls),
            "data": cls.data_identity(self.settings),
            "settings": settings,
            "device": self.device.partition(":")[0],
        }

    @cached_property
    def judge(self) -> Judge | None:
        return self.build().judge_recipe()

    @cached_property
    def judge_hash(self) -> str | None:
        return None if self.judge is None else canonical_hash(self.judge.config | {"code": self.config["code"]})

    def teacher_config(self, seed: int) -> dict[str, Any]:
        """Everything that decides a teacher's weights and its evaluation; not the student's network or steps."""
        settings = dict(self.config["settings"])
        del settings["student"], settings["steps"]
        settings["teacher"] = self.settings.recipe("teacher").model_dump(mode="json")
        return self.config | {"settings": settings, "judge": self.judge_hash, "role": "teacher", "seed": seed}

    def teacher_hash(self, seed: int) -> str:
        return canonical_hash(self.teacher_config(seed))


@dataclass(frozen=True)
class Cell:
    """One record to be: a student, a teacher or a reference row. label: the row's name in tables."""

    kind: Literal["student", "teacher", "reference"]
    pair: Pair
    label: str
    seed: int
    teacher_seed: int
    method: Method | None = None

    @property
    def path(self) -> Path:
        """Where its record lies in a results folder."""
        folder = (
            self.label
            if self.kind != "reference"
            else "reference-" + "".join(c if c.isalnum() else "-" for c in self.label).strip("-")
        )
        return Path("records", self.pair.task, self.pair.pair, folder, f"seed-{self.seed}.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        if self.kind == "teacher":
            return self.pair.teacher_config(self.seed)
        config = self.pair.config | {"judge": self.pair.judge_hash, "role": self.kind}
        if self.kind == "reference":
            training = ("teacher", "student", "steps", "batch_size")
            settings = {key: value for key, value in config["settings"].items() if key not in training}
            return config | {"settings": settings, "reference": self.label}
        assert self.method is not None
        return config | {
            "method": self.label,
            "hyperparameters": self.method.model_dump(mode="json"),
            "method_code": code_digest(type(self.method)),
            "teacher": self.pair.teacher_hash(self.teacher_seed),
            "seed": self.seed,
        }

    @cached_property
    def hash(self) -> str:
        return canonical_hash(self.config)

    def __str__(self) -> str:
        return f"{self.pair.task}/{self.pair.pair}/{self.label}/seed {self.seed}"


# -- reading ------------------------------------------------------------------------------------------------------


def shipped() -> dict[str, str]:
    """The suites that ship: name -> TOML text."""
    folder = files("bench") / "suites"
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".toml")
    }


def load(name_or_path: str, overrides: Sequence[str] = (), tasks: Sequence[str] = ()) -> Suite:
    """A shipped suite by name or a file by path, with ``key.path=value`` overrides; only ``tasks`` if any are given.

    Raises UserError.
    """
    path = Path(name_or_path)
    if name_or_path in (known := shipped()):
        text, source, name = known[name_or_path], f"suite {name_or_path}", name_or_path
    elif path.suffix == ".toml" or path.exists():
        try:
            text, source, name = path.read_text(encoding="utf-8"), str(path), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
    else:
        raise UserError(f"no suite {name_or_path!r}{did_you_mean(name_or_path, known)}; or give a .toml file")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not TOML ({error})") from error
    for override in overrides:
        _override(table, override)
    if tasks and isinstance(table.get("tasks"), dict):
        for task in tasks:
            _known(table["tasks"], task, f"{source}: --task: the suite has no task")
        table["tasks"] = {task: table["tasks"][task] for task in tasks}
    return parse({"name": name} | table, source)


def parse(table: Mapping[str, Any], source: str) -> Suite:
    """A validated suite from plain data; every name in it exists and every setting fits."""
    suite = _validate(Suite, table, source, ())
    for field in ("methods", "seeds"):
        values = getattr(suite, field)
        if len(set(values)) != len(values):
            raise UserError(f"{source}: {field}: names something twice: {', '.join(map(str, values))}")
    for name in suite.methods:
        _known(METHODS.names(), name, f"{source}: methods: unknown method")
    for name, table_ in suite.tasks.items():
        _known(TASKS.names(), name, f"{source}: tasks.{name}: unknown task")
        for method in table_.hyperparameters:
            _known(METHODS.names(), method, f"{source}: tasks.{name}.hyperparameters: unknown method")
    for method in suite.hyperparameters:
        _known(METHODS.names(), method, f"{source}: hyperparameters: unknown method")
    cells(suite, source)
    return suite


def _known(names: Iterable[str], name: str, message: str) -> None:
    if name not in names:
        raise UserError(f"{message} {name!r}{did_you_mean(name, names)}")


def _override(table: dict[str, Any], override: str) -> None:
    """Set one value; it is read as TOML, and as a plain string where it is none."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: must be KEY=VALUE, as in --set tasks.denoising.steps=200")
    if text.strip() in ("null", "none"):
        value: Any = None
    else:
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {override}: {part!r} is a value, not a table")
    table[parts[-1]] = value


# -- cells --------------------------------------------------------------------------------------------------------


def cells(suite: Suite, source: str = "suite") -> list[Cell]:
    """Every cell of the matrix: references, teachers, then students by task, pair, seed and method."""
    found: list[Cell] = []
    for pair in pairs(suite, source):
        cls = TASKS.get(pair.task)
        teacher_seeds = {seed: seed if suite.teachers == "per-seed" else 0 for seed in suite.seeds}
        found += [Cell("reference", pair, name, 0, 0) for name in cls.references]
        found += [Cell("teacher", pair, "teacher", seed, seed) for seed in sorted(set(teacher_seeds.values()))]
        table = suite.tasks[pair.task]
        methods = {}
        for name in suite.methods:
            values = suite.hyperparameters.get(name, {}) | table.hyperparameters.get(name, {})
            where = (
                ("tasks", pair.task, "hyperparameters", name)
                if name in table.hyperparameters
                else ("hyperparameters", name)
            )
            methods[name] = _validate(METHODS.get(name), values, source, where)
        found += [
            Cell("student", pair, name, seed, teacher_seeds[seed], method)
            for seed in suite.seeds
            for name, method in methods.items()
        ]
    return found


def pairs(suite: Suite, source: str = "suite") -> list[Pair]:
    """Each task's pairs with their settings: the task's defaults, the pair's, the suite's, the suite's for the pair."""
    found = []
    for name, table in suite.tasks.items():
        cls = TASKS.get(name)
        offered = {**cls.pairs, **{key: {} for key in table.pair if key not in cls.pairs}}
        for pair in table.pairs or offered:
            _known(offered, pair, f"{source}: tasks.{name}.pairs: unknown pair")
            layers = [offered[pair], table.settings, table.pair.get(pair, {})]
            defaults = cls.Settings().model_dump(exclude_unset=False)
            values: dict[str, Any] = {}
            for layer in layers:
                values = _merge(values, layer)
            if suite.steps is not None:
                values = _merge(values, {"steps": suite.steps, "teacher": {"steps": None}, "student": {"steps": None}})
            merged = _merge(_without_changed_networks(defaults, values), values)
            settings = _validate(cls.Settings, merged, source, ("tasks", name))
            try:
                cls.data_identity(settings)
            except DataError as error:
                raise UserError(f"{source}: tasks.{name}.{error}") from error
            found.append(Pair(name, pair, settings, suite.device))
            check_networks(found[-1], source)
    return found


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _without_changed_networks(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults, less the sizes of a network that the suite replaces by one of another name."""
    result = dict(defaults)
    for role in ("teacher", "student"):
        given = values.get(role)
        network = given.get("network") if isinstance(given, Mapping) else None
        if (
            isinstance(network, Mapping)
            and network.get("name", result[role]["network"]["name"]) != result[role]["network"]["name"]
        ):
            result[role] = {**result[role], "network": {}}
    return result


# -- explaining ---------------------------------------------------------------------------------------------------


def _validate(model: type[M], values: Mapping[str, Any], source: str, where: tuple[str, ...]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, model, source, where)) from error


def explain(error: ValidationError, model: type[BaseModel], source: str, where: tuple[str, ...] = ()) -> str:
    """The first thing wrong, in one line: file, field, what is allowed."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    holder = _model_at(model, location[:-1])
    path = ".".join((*where, *(part for part in location if part not in _tags(model, location))))
    if first["type"] == "extra_forbidden" and holder is not None:
        return f"{source}: {path}: unknown key{did_you_mean(location[-1], holder.model_fields)}"
    if first["type"] == "union_tag_invalid":
        return (
            f"{source}: {path}.name: unknown network {first['ctx']['tag']!r} (allowed: {first['ctx']['expected_tags']})"
        )
    if first["type"] == "missing":
        return f"{source}: {path}: missing"
    given = str(first["input"])
    return f"{source}: {path}: {first['msg'][0].lower()}{first['msg'][1:]}, not {given[:60]!r}"


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple):
        return [model for part in get_args(annotation) for model in _models(part)]
    return []


def _tags(model: type[BaseModel], location: Sequence[str]) -> set[str]:
    """Parts of a pydantic location that name a member of a union, not a key."""
    tags: set[str] = set()
    for i in range(1, len(location)):
        before = location[:i]
        parent = _model_at(model, before[:-1])
        if parent is not None and (field := parent.model_fields.get(before[-1])) and field.discriminator:
            tags.add(location[i])
    return tags


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """The model whose fields a pydantic location's last part is among."""
    current: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = []
    for part in location:
        tagged = [m for m in candidates if m.model_fields.get("name") and m.model_fields["name"].default == part]
        if tagged and len(candidates) > 1:
            current, candidates = tagged[0], []
            continue
        if current is None or part not in current.model_fields:
            continue  # a key of a dict, an index of a tuple
        candidates = _models(current.model_fields[part].annotation)
        current = candidates[0] if candidates else None
    return current

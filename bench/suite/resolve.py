"""What to run: a suite file (TOML) or table, and what the command line sets over it -> a resolved Suite -> cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillbench.bench.suite import precedence
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.file import Layer, SuiteTable, assigned, checked, read, read_tuned
from distillbench.bench.suite.precedence import Matrix
from distillbench.bench.suite.preflight import check_networks
from distillbench.bench.suite.registry import METHODS, TASKS
from distillbench.bench.suite.validation import Place, validate
from distillbench.common.errors import DataError, UserError, check_name
from distillbench.tasks.networks.interfaces import ROLES

if TYPE_CHECKING:
    from distillbench.methods.base import Method


@dataclass(frozen=True)
class Entry:
    """A pair, and the methods with the hyperparameters that they have on it."""

    pair: Pair
    methods: Mapping[str, Method]


@dataclass(frozen=True)
class Suite:
    """A benchmark matrix: every name exists, every setting fits and has an effect."""

    name: str
    description: str
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    device: str
    teachers: Literal["shared", "per-seed"]
    entries: tuple[Entry, ...]


def load(
    suite: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str | None = None,
    tuned: bool = True,
) -> Suite:
    """A shipped suite by name, a file by path, or a table as a file has it.

    overrides: ``key.path=value``. tasks, methods, seeds, device: these in place of the suite's. tuned: whether the
    suite's file of chosen hyperparameters is read. Raises UserError.
    """
    own, folder = read(suite)
    layers = [own]
    if overrides:
        layers.append(Layer("--set", checked(assigned(overrides), "--set")))
    for option, values in (("methods", methods), ("seeds", seeds), ("device", device)):
        if values:
            layers.append(Layer(f"--{option}", checked({option: values}, f"--{option}")))
    if tuned and (path := _last(layers, "tuned")) is not None:
        beside = folder if "tuned" in own.table.model_fields_set and _last(layers[1:], "tuned") is None else Path()
        layers.insert(0, read_tuned(beside / path))
    for layer in layers:
        for task in layer.table.tasks if layer.source == "--set" else ():
            _check_task(task, own, layer.source, "tasks")
    for task in tasks:
        _check_task(task, own, own.source, "--tasks")
    return _resolve(layers, own, tuple(tasks) or tuple(own.table.tasks))


def _check_task(task: str, own: Layer, where: str, field: str) -> None:
    if task not in own.table.tasks:
        raise UserError(f"the suite has no task {task!r}", where, field, allowed=sorted(own.table.tasks), name=task)


def _last(layers: Sequence[Layer], field: str) -> Any:
    """A field of the suite as a whole: of the last layer that sets it."""
    given = [layer.table for layer in layers if field in layer.table.model_fields_set]
    value = getattr(given[-1] if given else SuiteTable(), field)
    return None if str(value) == precedence.NONE else value


def _resolve(layers: Sequence[Layer], own: Layer, tasks: Sequence[str]) -> Suite:
    methods = _last(layers, "methods")
    choices = {task: _choices(task, layers, own) for task in own.table.tasks}
    matrix = _matrix(layers, choices, tasks, methods)
    # A suite is judged by itself: what the command line leaves out or sets anew is not the suite's mistake.
    its = _matrix([own], choices, tuple(own.table.tasks), own.table.methods)
    for layer in layers:
        scope = (its, own.table.methods) if layer is own else (matrix, methods)
        if layer.strict and (mistake := precedence.without_effect(layer, *scope)) is not None:
            raise mistake
    device = _last(layers, "device")
    entries = tuple(_entry(task, pair, tables, device) for (task, pair), tables in matrix.items())
    for entry in entries if _last(layers, "teachers") == "per-seed" else ():
        if entry.pair.settings.pretrained:
            problem = f"'per-seed', and the teacher of {entry.pair.task}/{entry.pair.pair} comes from a file"
            raise UserError(problem, field="teachers", allowed="'shared'")
    return Suite(
        name=_last(layers, "name"),
        description=_last(layers, "description"),
        seeds=_last(layers, "seeds"),
        methods=methods,
        device=device,
        teachers=_last(layers, "teachers"),
        entries=entries,
    )


Choices = Mapping[str, Mapping[str, Any]]
"""What each pair of a task changes of its settings by itself: of one that ships; a new one changes nothing."""


def _choices(task: str, layers: Sequence[Layer], own: Layer) -> Choices:
    """A new pair has settings, in the suite's own file or where some ``pairs`` name it: anything else is a slip."""
    tables = [(layer, layer.table.tasks[task]) for layer in layers if layer.strict and task in layer.table.tasks]
    in_pairs = {pair for _, table in tables for pair in table.pairs or ()}
    new = [
        pair
        for layer, table in tables
        for pair, changes in table.pair.items()
        if changes.settings and (layer is own or pair in in_pairs)
    ]
    ships = TASKS.get(task).pairs
    return {**ships, **{pair: {} for pair in new if pair not in ships}}


def _matrix(
    layers: Sequence[Layer], choices: Mapping[str, Choices], tasks: Sequence[str], methods: Sequence[str]
) -> Matrix:
    """What is set, for every pair of these tasks."""
    found: dict[tuple[str, str], dict[str, precedence.Settings]] = {}
    for task in tasks:
        cls, of_task = TASKS.get(task), choices[task]
        chosen: Sequence[str] = tuple(of_task)
        for layer in layers:
            table = layer.table.tasks.get(task)
            if table is None:
                continue
            for pair in (*(table.pair if layer.strict else ()), *(table.pairs or ())):
                check_name("pair", pair, of_task, layer.source, f"tasks.{task}.pairs")
            chosen = table.pairs or chosen
        for pair in chosen:
            settings = precedence.of_pair(cls.Settings().model_dump(), of_task[pair], task, pair, layers)
            hyperparameters = {name: precedence.of_method(task, pair, name, layers) for name in methods}
            found[task, pair] = {"": settings, **hyperparameters}
    return found


def _entry(task: str, pair: str, tables: Mapping[str, precedence.Settings], device: str) -> Entry:
    cls, settings = TASKS.get(task), tables[""]
    place = precedence.place(settings, f"tasks.{task}")
    resolved = Pair(task, pair, validate(cls.Settings, precedence.nested(settings), place), device)
    try:
        _ = resolved.config
        check_networks(resolved, place)
    except DataError as error:
        where, field = place(["data"])
        raise error.within(where, field.rpartition(".")[0]) from error
    methods = {
        name: validate(
            METHODS.get(name),
            precedence.nested(table),
            precedence.place(table, f"tasks.{task}.hyperparameters.{name}"),
        )
        for name, table in tables.items()
        if name
    }
    _check_roles(resolved, methods, place)
    return Entry(resolved, methods)


def _check_roles(pair: Pair, methods: Mapping[str, Method], place: Place) -> None:
    """What is trained has weights to train; where a teacher has none, no method trains one of its kind."""
    teacher, student = pair.settings.recipe("teacher"), pair.settings.recipe("student")
    if student.weights is not None:
        raise UserError("a student starts from drawn weights", *place(["student", "weights"]), allowed="of a teacher")
    if not student.trainable:
        raise UserError("has no weights to train", *place(["student", "network"]), allowed="as a teacher")
    if teacher.trainable:
        return
    if teacher.weights is not None:
        raise UserError("has no effect: the network has its own in its file", *place(["teacher", "weights"]))
    for name, method in methods.items():
        if method.teacher in ("own", "untrained"):
            what = "trains a teacher of its own" if method.teacher == "own" else "looks at an untrained teacher"
            network = ": ".join(filter(None, place(["teacher", "network"])))
            problem = f"{name!r} {what}, and {network} has no weights to train: leave the method out"
            raise UserError(problem, field="methods")


def pairs(suite: Suite) -> list[Pair]:
    """The suite's pairs of networks, by task."""
    return [entry.pair for entry in suite.entries]


def cells(suite: Suite) -> list[Cell]:
    """Every cell of the matrix: by pair its baselines, its teachers, then its students by seed and method."""
    teacher_seeds = {seed: seed if suite.teachers == "per-seed" else 0 for seed in suite.seeds}
    found: list[Cell] = []
    for entry in suite.entries:
        pair = entry.pair
        found += [Cell("baseline", pair, name, 0, 0) for name in TASKS.get(pair.task).baselines]
        found += [Cell("teacher", pair, "teacher", seed, seed) for seed in sorted(set(teacher_seeds.values()))]
        found += [
            Cell("student", pair, name, seed, teacher_seeds[seed], method)
            for seed in suite.seeds
            for name, method in entry.methods.items()
        ]
    return found


def as_table(suite: Suite) -> dict[str, Any]:
    """The resolved suite as a table that a file can hold, and that loads as the same suite."""
    tasks: dict[str, dict[str, Any]] = {}
    for entry in suite.entries:
        cls, pair = TASKS.get(entry.pair.task), entry.pair
        table = tasks.setdefault(pair.task, {"pairs": [], "pair": {}})
        table["pairs"].append(pair.pair)
        before = precedence.of_pair(cls.Settings().model_dump(), cls.pairs.get(pair.pair, {}), pair.task, pair.pair, ())
        settings = _written(pair.settings.model_dump(mode="json"), precedence.nested(before))
        for role in ROLES:
            if settings[role].get("epochs") is not None:
                settings[role].pop("steps", None)  # it is none
        if all(_says_how_long(settings[role]) for role in ROLES):
            del settings["steps"]  # would have no effect
        methods = {name: method.model_dump(mode="json", exclude_none=True) for name, method in entry.methods.items()}
        table["pair"][pair.pair] = settings | {"hyperparameters": {name: its for name, its in methods.items() if its}}
    fields = ("name", "description", "seeds", "methods", "device", "teachers")
    return {field: getattr(suite, field) for field in fields} | {"tasks": tasks}


def _says_how_long(recipe: Mapping[str, Any]) -> bool:
    return any(recipe.get(field, precedence.NONE) != precedence.NONE for field in precedence.ALTERNATIVES)


def _written(values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """Without what is none by default; what is none, and is not by default, said to be."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        known_ = default.get(key) if isinstance(default, Mapping) else None
        if isinstance(value, Mapping):
            if inner := _written(value, known_):
                result[key] = inner
        elif value is not None or known_ is not None:
            result[key] = precedence.NONE if value is None else value
    return result

"""From a suite's layers of settings to the suite that is run: what is set for every pair and method, and the cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillbench.bench.suite import precedence
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.definedness import undefined
from distillbench.bench.suite.file import NONE, Layer, Layers, read_layers
from distillbench.bench.suite.precedence import Matrix
from distillbench.bench.suite.preflight import check_networks
from distillbench.bench.suite.registry import METHODS, TASKS
from distillbench.bench.suite.tuned import Tuned
from distillbench.bench.suite.validation import Place, validate
from distillbench.common.errors import DataError, UserError, check_name
from distillbench.tasks.networks.interfaces import ROLES

if TYPE_CHECKING:
    from distillbench.methods.base import Method


@dataclass(frozen=True)
class Entry:
    """A teacher-student pair, and the methods with the hyperparameters that they have on it.

    Attributes:
        seeds: of the students.
        methods: by name, those that are defined on the pair.
        undefined: why each other method of the suite is not, by name.
        tuned: what hyperparameters that come from a file of chosen ones were chosen with, by method.
    """

    pair: Pair
    seeds: tuple[int, ...]
    methods: Mapping[str, Method]
    undefined: Mapping[str, str]
    tuned: Mapping[str, Tuned] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Suite:
    """A benchmark matrix: every name exists, every setting fits and has an effect."""

    name: str
    description: str
    methods: tuple[str, ...]
    device: str
    teachers: Literal["shared", "per-seed"]
    entries: tuple[Entry, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The teacher-student pairs, by task."""
        return tuple(entry.pair for entry in self.entries)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of students, of any task."""
        return tuple(sorted({seed for entry in self.entries for seed in entry.seeds}))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of the matrix: by pair its baselines, its teachers, then its students by seed and method.

        Without methods there are baselines alone: nobody learns from a teacher.
        """
        return tuple(cell for entry in self.entries for cell in self._cells_of(entry))

    def _cells_of(self, entry: Entry) -> Iterable[Cell]:
        pair, teacher_seeds = entry.pair, {seed: seed if self.teachers == "per-seed" else 0 for seed in entry.seeds}
        yield from (Cell("baseline", pair, name, 0, 0) for name in TASKS.get(pair.task).baselines)
        if not self.methods:
            return
        yield from (Cell("teacher", pair, "teacher", seed, seed) for seed in sorted(set(teacher_seeds.values())))
        for seed, teacher_seed in teacher_seeds.items():
            for name, method in entry.methods.items():
                yield Cell("student", pair, name, seed, teacher_seed, method)


def load(
    suite: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str | None = None,
    tuned: bool = True,
) -> Suite:
    """Read a suite, and resolve every setting in it.

    Args:
        suite: the name of a suite that ships, the path of a file, or a table as a file has it.
        overrides: settings as ``KEY=VALUE``, with dots in the key.
        tasks: the only tasks of the suite to run; default: all.
        methods: in place of the suite's.
        seeds: in place of the suite's.
        device: in place of the suite's.
        tuned: whether the suite's file of chosen hyperparameters is read.

    Raises:
        UserError: something is unknown, does not fit, has no effect, or is too large for this machine.
    """
    options = {"methods": methods, "seeds": seeds, "device": device}
    layers = read_layers(suite, overrides, {name: value for name, value in options.items() if value}, tuned)
    for layer in layers.options:
        for task in layer.table.tasks:
            _check_task(task, layers.suite, layer.source, "tasks")
    for task in tasks:
        _check_task(task, layers.suite, layers.suite.source, "--tasks")
    return _resolve(layers, tuple(tasks) or tuple(layers.suite.table.tasks))


def _check_task(task: str, suite: Layer, where: str, field: str) -> None:
    if task not in suite.table.tasks:
        raise UserError(f"the suite has no task {task!r}", where, field, allowed=sorted(suite.table.tasks), name=task)


def _resolve(layers: Layers, tasks: Sequence[str]) -> Suite:
    changes = {task: _changes(task, layers) for task in layers.suite.table.tasks}
    methods, device = layers.last("methods"), layers.last("device")
    matrix = _matrix(layers, changes, tasks, methods)
    _check_effects(layers, changes, matrix, methods)
    entries = tuple(_entry(task, pair, tables, layers) for (task, pair), tables in matrix.items())
    for pair in (entry.pair for entry in entries if layers.last("teachers") == "per-seed"):
        if pair.settings.pretrained:
            problem = f"'per-seed', and the teacher of {pair.task}/{pair.pair} comes from a file"
            raise UserError(problem, field="teachers", allowed="'shared'")
    _check_defined(entries, layers, tasks)
    fields = {field: layers.last(field) for field in ("name", "description", "teachers")}
    return Suite(**fields, methods=methods, device=device, entries=entries)


def _check_defined(entries: Sequence[Entry], layers: Layers, tasks: Sequence[str]) -> None:
    """Raise UserError for a method that is defined on no pair, and for hyperparameters of one where it is not.

    A suite is judged by itself: its methods may be left without a task where the command line takes one task of it, or
    sets all steps.
    """
    naming = [layer for layer in layers.options if "methods" in layer.table.model_fields_set]
    if naming or (not layers.options and set(tasks) == set(layers.suite.table.tasks)):
        for name in layers.last("methods"):
            reasons = [entry.undefined.get(name, "") for entry in entries]
            if all(reasons):
                problem = f"{name!r} is not defined here: {'; '.join(dict.fromkeys(reasons))}"
                raise UserError(problem, (naming or [layers.suite])[-1].source, "methods")
    undefined = {(entry.pair.task, entry.pair.pair): entry.undefined for entry in entries}
    for layer in layers.options or (layers.suite,):
        if (mistake := precedence.of_undefined(layer, undefined)) is not None:
            raise mistake


Changes = Mapping[str, Mapping[str, Any]]
"""What each pair of a task sets by itself, by the pair's name: a pair that ships; a new one sets nothing."""


def _changes(task: str, layers: Layers) -> Changes:
    """The pairs of a task: those that ship, and new ones.

    A new pair has settings in the suite's own file, or a table and a name among some ``pairs``; other names are slips.
    """
    tables = [(layer, layer.table.tasks[task]) for layer in layers if layer.strict and task in layer.table.tasks]
    listed = {pair for _, table in tables for pair in table.pairs or ()}
    new = [
        pair
        for layer, table in tables
        for pair, changes in table.pair.items()
        if pair in listed or (changes.settings and layer is layers.suite)
    ]
    ships = TASKS.get(task).pairs
    return {**ships, **{pair: {} for pair in new if pair not in ships}}


def _matrix(
    layers: Iterable[Layer], changes: Mapping[str, Changes], tasks: Sequence[str], methods: Sequence[str]
) -> Matrix:
    """What is set, for every pair of these tasks."""
    layers = tuple(layers)
    matrix: dict[tuple[str, str], dict[str, precedence.Settings]] = {}
    for task in tasks:
        defaults = TASKS.get(task).Settings().model_dump()
        for pair in _chosen_pairs(task, layers, changes[task]):
            settings = precedence.task_settings(defaults, changes[task][pair], task, pair, layers)
            hyperparameters = {name: precedence.hyperparameters(task, pair, name, layers) for name in methods}
            matrix[task, pair] = {"": settings, **hyperparameters}
    return matrix


def _chosen_pairs(task: str, layers: Sequence[Layer], changes: Changes) -> Sequence[str]:
    """The pairs of a task that are run: those of the last layer that lists any; otherwise all."""
    chosen: Sequence[str] = tuple(changes)
    for layer in layers:
        if (table := layer.table.tasks.get(task)) is None:
            continue
        for pair in (*(table.pair if layer.strict else ()), *(table.pairs or ())):
            check_name("pair", pair, changes, layer.source, f"tasks.{task}.pairs")
        chosen = table.pairs or chosen
    return chosen


def _check_effects(layers: Layers, changes: Mapping[str, Changes], matrix: Matrix, methods: Sequence[str]) -> None:
    """Raise UserError for a setting that changes nothing.

    A suite is judged by itself: what the command line leaves out or sets anew is not the suite's mistake.
    """
    table = layers.suite.table
    alone = _matrix([layers.suite], changes, tuple(table.tasks), table.methods)
    for layer in layers:
        scope = (alone, table.methods) if layer is layers.suite else (matrix, methods)
        if layer.strict and (mistake := precedence.without_effect(layer, *scope)) is not None:
            raise mistake


def _entry(task: str, pair: str, tables: Mapping[str, precedence.Settings], layers: Layers) -> Entry:
    """The settings of a pair and its methods, validated; and whether this machine can hold its networks."""
    cls, settings = TASKS.get(task), tables[""]
    place = precedence.place(settings, f"tasks.{task}")
    resolved = Pair(task, pair, validate(cls.Settings, precedence.nested(settings), place), layers.last("device"))
    _check_transfer(resolved, place)
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
    reasons = {name: reason for name, method in methods.items() if (reason := undefined(method, resolved)) is not None}
    defined = {name: method for name, method in methods.items() if name not in reasons}
    _check_roles(resolved, defined, place)
    tuned = _tuned(layers.tuned, task, pair, {name: tables[name] for name in defined})
    return Entry(resolved, layers.seeds(task), defined, reasons, tuned)


def _tuned(layer: Layer | None, task: str, pair: str, tables: Mapping[str, precedence.Settings]) -> dict[str, Tuned]:
    """What the values in effect of a file of chosen hyperparameters were chosen with, as far as the file says it."""
    if layer is None:
        return {}
    digests = layer.digests.get(task, {}).get(pair, {})
    in_effect = {
        name: frozenset(path[0] for path, setting in table.items() if setting.source == layer.source)
        for name, table in tables.items()
        if name in digests
    }
    return {name: Tuned(Path(layer.source).name, names, digests[name]) for name, names in in_effect.items() if names}


def _check_transfer(pair: Pair, place: Place) -> None:
    """Raise UserError for a transfer set of a task that can have none."""
    reason, settings = TASKS.get(pair.task).no_transfer, pair.settings
    if reason is None or not settings.has_transfer:
        return
    name = "transfer" if settings.data.transfer is not None else "transfer_name"
    path = ["data", name] if settings.transfer is None else ["transfer"]
    raise UserError(f"{pair.task} has no transfer set: {reason}", *place(path))


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


def as_table(suite: Suite) -> dict[str, Any]:
    """The resolved suite as a table that a file can hold, and that loads as the same suite."""
    tasks: dict[str, dict[str, Any]] = {}
    for entry in suite.entries:
        cls, pair = TASKS.get(entry.pair.task), entry.pair
        own_seeds = {"seeds": list(entry.seeds)} if entry.seeds != suite.entries[0].seeds else {}
        table = tasks.setdefault(pair.task, {"pairs": [], **own_seeds, "pair": {}})
        table["pairs"].append(pair.pair)
        changes = cls.pairs.get(pair.pair, {})
        unset = precedence.task_settings(cls.Settings().model_dump(), changes, pair.task, pair.pair, ())
        settings = _differences(pair.settings.model_dump(mode="json"), precedence.nested(unset))
        for role in ROLES:
            if settings[role].get("epochs") is not None:
                settings[role].pop("steps", None)  # there are none
        if all(_has_length(settings[role]) for role in ROLES):
            del settings["steps"]  # would have no effect
        methods = {name: method.model_dump(mode="json", exclude_none=True) for name, method in entry.methods.items()}
        table["pair"][pair.pair] = settings | {
            "hyperparameters": {name: values for name, values in methods.items() if values}
        }
    fields = ("name", "description", "methods", "device", "teachers")
    seeds = {"seeds": suite.entries[0].seeds}
    return {field: getattr(suite, field) for field in fields} | seeds | {"tasks": tasks}


def _has_length(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe says how long it trains, in steps or in epochs."""
    return any(recipe.get(field, NONE) != NONE for field in precedence.ALTERNATIVES)


def _differences(values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """Values without those that are none by default; those that are none otherwise, written out as 'none'."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        usual = default.get(key) if isinstance(default, Mapping) else None
        if isinstance(value, Mapping):
            if inner := _differences(value, usual):
                result[key] = inner
        elif value is not None or usual is not None:
            result[key] = NONE if value is None else value
    return result

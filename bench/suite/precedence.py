"""Which value of a setting wins, and which have no effect.

Defaults < what a pair changes < tuned values < the suite < ``--set``; in each of these places the more specific wins:
all tasks < one task < one of its pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from distillbench.bench.suite.file import NONE, Hyperparameters, Layer
from distillbench.bench.suite.validation import Place
from distillbench.common.errors import UserError, at_most
from distillbench.tasks.networks.interfaces import ROLES

Path = tuple[str, ...]
ALTERNATIVES = {"steps": "epochs", "epochs": "steps"}
"""Settings of a recipe of which one takes the place of the other."""
SOURCES = {
    "train": "name",
    "test": "test_name",
    "test_name": "test",
    "transfer": "transfer_name",
    "transfer_name": "transfer",
}
"""Settings of ``data`` that replace another one where they are set later. A name takes the place of all folders."""
NEEDS: Mapping[str, tuple[Path, ...]] = {
    "weights_key": (("weights",),),
    "transfer_batch": (("transfer",), ("data", "transfer"), ("data", "transfer_name")),
}
"""Settings that mean nothing without one of others in the same table."""
LACKING = {"weights_key": "there are no weights beside it", "transfer_batch": "there is no transfer set"}
"""What is said of them then."""
ARGUMENTS = "arguments"
"""The table of arguments of a user's own function: no name in it is one of ours."""


@dataclass(frozen=True)
class Setting:
    """A value, and where it was set.

    Attributes:
        source: the name of the layer; '' for a default.
        key: as it is written there: 'tasks.gan.steps'.
    """

    value: Any
    source: str
    key: str


Settings = Mapping[Path, Setting]
Matrix = Mapping[tuple[str, str], Mapping[str, Settings]]
"""For every task and pair the settings of the task, under '', and the hyperparameters of each method, by its name."""


def task_settings(
    defaults: Mapping[str, Any], changes: Mapping[str, Any], task: str, pair: str, layers: Iterable[Layer]
) -> Settings:
    """The settings of a task with one of its pairs.

    Args:
        defaults: the task's own.
        changes: what the pair, one that ships, sets by itself.
        task: its name.
        pair: its name.
        layers: what the user wrote, the weakest first.
    """
    settings: dict[Path, Setting] = {}
    _merge(settings, _leaves(defaults, "", ""))
    _merge(settings, _leaves(changes, "", ""))
    for layer in layers:
        _merge(settings, [(w.path, w.setting) for w in _written(layer) if not w.method and w.reaches(task, pair)])
    return {path: setting for path, setting in settings.items() if not _is_incomplete(path, settings)}


def _is_incomplete(path: Path, settings: Settings) -> bool:
    """Whether a setting means nothing, because another one that it needs is not set."""
    if settings[path].value is None or path[-1] not in NEEDS or ARGUMENTS in path:
        return False
    needs = (settings.get((*path[:-1], *need)) for need in NEEDS[path[-1]])
    return all(need is None or need.value is None for need in needs)


def hyperparameters(task: str, pair: str, method: str, layers: Iterable[Layer]) -> Settings:
    """The hyperparameters of a method on one pair, as far as they are set; layers: the weakest first."""
    settings: dict[Path, Setting] = {}
    for layer in layers:
        _merge(settings, [(w.path, w.setting) for w in _written(layer) if w.method == method and w.reaches(task, pair)])
    return settings


@dataclass(frozen=True)
class _Written:
    """A setting that a layer has.

    Attributes:
        path: of the setting, in the settings of a task or the hyperparameters of a method.
        task: that it is for; None: every task.
        pair: that it is for; None: every pair.
        method: whose hyperparameter it is; '': it is a setting of the task.
    """

    path: Path
    setting: Setting
    task: str | None
    pair: str | None
    method: str

    def reaches(self, task: str, pair: str) -> bool:
        """Whether it is for this pair."""
        return self.task in (None, task) and self.pair in (None, pair)


def _written(layer: Layer) -> Iterator[_Written]:
    """Every setting of a layer, the more specific after the more general."""

    def settings(
        table: Mapping[str, Any], prefix: str, task: str | None, pair: str | None, method: str = ""
    ) -> Iterator[_Written]:
        for path, setting in _leaves(table, layer.source, prefix):
            yield _Written(path, setting, task, pair, method)

    def of_methods(tables: Hyperparameters, prefix: str, task: str | None, pair: str | None) -> Iterator[_Written]:
        for method, table in tables.items():
            yield from settings(table, f"{prefix}hyperparameters.{method}.", task, pair, method)

    if layer.table.steps is not None:
        yield _Written(("steps",), Setting(layer.table.steps, layer.source, "steps"), None, None, "")
        for path in ((role, field) for role in ROLES for field in ALTERNATIVES):
            yield _Written(path, Setting(None, layer.source, "steps"), None, None, "")
    yield from of_methods(layer.table.hyperparameters, "", None, None)
    for task, task_table in layer.table.tasks.items():
        yield from settings(task_table.settings, f"tasks.{task}.", task, None)
        yield from of_methods(task_table.hyperparameters, f"tasks.{task}.", task, None)
        for pair, pair_table in task_table.pair.items():
            prefix = f"tasks.{task}.pair.{pair}."
            yield from settings(pair_table.settings, prefix, task, pair)
            yield from of_methods(pair_table.hyperparameters, prefix, task, pair)


def _leaves(table: Mapping[str, Any], source: str, prefix: str) -> list[tuple[Path, Setting]]:
    """Every value, at its path; a network's name before its sizes."""
    leaves: list[tuple[Path, Setting]] = []
    tables = prefix.split(".")
    for key, value in table.items():
        if isinstance(value, Mapping):  # an empty table says nothing
            leaves += [((key, *path), setting) for path, setting in _leaves(value, source, f"{prefix}{key}.")]
        else:
            none = value == NONE and ARGUMENTS not in tables
            leaves.append(((key,), Setting(None if none else value, source, f"{prefix}{key}")))
    return sorted(leaves, key=lambda leaf: leaf[0][-1] != "name" or ARGUMENTS in leaf[0])


def _merge(settings: dict[Path, Setting], leaves: Sequence[tuple[Path, Setting]]) -> None:
    """Set stronger values over weaker ones, and take away the weaker ones that lose their meaning."""
    for path, setting in leaves:
        holder = path[:-1]
        ours = ARGUMENTS not in path
        renamed = ours and path[-1] == "name" and path in settings and settings[path].value != setting.value
        for weaker in list(settings):
            inside = weaker[: len(path)] == path or path[: len(weaker)] == weaker
            if inside or (renamed and weaker[: len(holder)] == holder):  # another network has sizes of its own
                del settings[weaker]
        if ours and setting.value is not None:
            if path[-1] in ALTERNATIVES:
                settings.pop((*holder, ALTERNATIVES[path[-1]]), None)
            elif holder[-1:] == ("data",) and path[-1] in SOURCES:
                earlier = (*holder, SOURCES[path[-1]])
                if earlier in settings and not _in_one_table(settings[earlier], setting):  # both in one: refused
                    settings[earlier] = replace(setting, value=None)
        settings[path] = setting


def _in_one_table(first: Setting, second: Setting) -> bool:
    return first.source == second.source and first.key.rpartition(".")[0] == second.key.rpartition(".")[0]


def nested(settings: Settings) -> dict[str, Any]:
    """The values of settings as tables in tables."""
    result: dict[str, Any] = {}
    for path, setting in settings.items():
        holder = result
        for part in path[:-1]:
            holder = holder.setdefault(part, {})
        holder[path[-1]] = setting.value
    return result


def place(settings: Settings, otherwise: str) -> Place:
    """What names a field of settings as it is written where it was set.

    Args:
        settings: of a task or a method.
        otherwise: the table that a field is in which nobody has set.
    """

    def name(path: Sequence[str]) -> tuple[str, str]:
        best = max(settings, key=lambda each: (_common(each, path), settings[each].source != ""), default=None)
        if best is None or not settings[best].source or (path and not _common(best, path)):
            return "", ".".join([otherwise, *path])
        setting, common = settings[best], _common(best, path)
        parts = setting.key.split(".")
        parts = parts[: len(parts) - (len(best) - common)]
        return setting.source, ".".join([*parts, *path[common:]])

    return name


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many parts two paths share at their start."""
    return sum(1 for _ in takewhile(lambda parts: parts[0] == parts[1], zip(first, second, strict=False)))


# -- settings without effect --------------------------------------------------------------------------------------


def without_effect(layer: Layer, matrix: Matrix, methods: Sequence[str]) -> UserError | None:
    """The first setting of a layer that changes nothing in the matrix, and why."""
    winners = {(s.source, s.key) for tables in matrix.values() for table in tables.values() for s in table.values()}
    for written in _written(layer):
        reason = None
        key = written.setting.key
        if (layer.source, key) not in winners:
            reason = _reason(written, matrix, methods)
        elif written.path == ("steps",) and not written.method and not _counts(layer.source, key, matrix):
            reason = "teacher.steps and student.steps are set, and these are for one that sets none"
        if reason is not None:
            return UserError(f"has no effect: {reason}", layer.source, key)
    return None


def of_undefined(layer: Layer, undefined: Mapping[tuple[str, str], Mapping[str, str]]) -> UserError | None:
    """The first hyperparameter of a layer that is for one task, on whose pairs its method is not defined, and why.

    Args:
        layer: what the user wrote in one place.
        undefined: for every task and pair the methods that are not defined there, each with the reason.
    """
    for written in _written(layer):
        reached = [reasons for pair, reasons in undefined.items() if written.reaches(*pair)]
        if written.method and written.task and reached and all(written.method in reasons for reasons in reached):
            reason = f"has no effect: {written.method} {reached[0][written.method]}"
            return UserError(reason, layer.source, written.setting.key)
    return None


def _reason(written: _Written, matrix: Matrix, methods: Sequence[str]) -> str:
    """Why a setting wins nowhere."""
    if written.method and written.method not in methods:
        return f"method {written.method!r} is not run (methods: {', '.join(methods)})"
    tasks = list(dict.fromkeys(task for task, _ in matrix))
    if written.task is not None and written.task not in tasks:
        return f"task {written.task!r} is not run (tasks: {', '.join(tasks)})"
    pairs = [pair for task, pair in matrix if task == written.task]
    if written.pair is not None and written.pair not in pairs:
        return f"pair {written.pair!r} is not run (pairs: {', '.join(pairs)})"
    winners = [
        f"{setting.source}: {setting.key}"
        for (task, pair), tables in matrix.items()
        if written.reaches(task, pair)
        for path, setting in tables.get(written.method, {}).items()
        if _common(path, written.path) == min(len(path), len(written.path))
    ]
    if not winners and written.path[-1] in ALTERNATIVES:
        return f"{ALTERNATIVES[written.path[-1]]} take their place"
    if not winners and written.path[-1] in LACKING:
        return LACKING[written.path[-1]]
    if not winners:
        return "its images come from elsewhere" if "data" in written.path else "its network is replaced by another"
    return f"{' and '.join(at_most(2, list(dict.fromkeys(winners))))} take its place"


def _counts(source: str, key: str, matrix: Matrix) -> bool:
    """Whether a number of steps reaches a network: teacher and student may each have their own."""
    return any(_counts_in(source, key, tables[""]) for tables in matrix.values())


def _counts_in(source: str, key: str, settings: Settings) -> bool:
    winning = {path for path, setting in settings.items() if (setting.source, setting.key) == (source, key)}
    if winning - {("steps",)}:  # a suite's steps also take away the networks' own
        return True
    lengths = [[settings.get((role, field)) for field in ALTERNATIVES] for role in ROLES]
    return bool(winning) and any(all(s is None or s.value is None for s in fields) for fields in lengths)

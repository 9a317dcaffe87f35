"""The trained network of a finished record: its pair, its weights, and real inputs for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.fingerprint import without_digests
from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import digest, load_weights, teacher_path, usable
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import NETWORKS, TASKS
from distillbench.bench.suite.validation import place_in, validate
from distillbench.bench.training.loop import initial
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role, Task, TaskSettings, read_only
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.sets import settings_of

FILES = frozenset({"weights", "file"})
"""Names of settings that are files, in recipes and networks."""
OTHER_SIZE = (32, 48)
"""Height and width of a part of larger test images: multiples of 16."""


@dataclass(frozen=True)
class TrainedNetwork:
    """The network of a finished record, on the CPU.

    Attributes:
        record: The record.
        pair: Of networks, from the record's configuration.
        task: Of the pair, with its feature extractor where the cache has it.
        whole: What the task evaluates, of which ``model`` is a part; a student's other parts have initial weights.
        model: What is deployed, with the record's weights.
        inputs: Batches of real test inputs for ``model``.
    """

    record: Record
    pair: Pair
    task: Task
    whole: nn.Module
    model: nn.Module
    inputs: tuple[Tensor, ...]


def pair_of(record: Record, locations: Mapping[str, Any] | None = None) -> Pair:
    """Build the pair of a student's or teacher's record from its configuration.

    Args:
        record: Of a student or teacher.
        locations: Settings that say where the data lie, which no record does.

    Raises:
        UserError: This code or these data are not those of the record: the same settings would build something else.
    """
    config, task = record.config, TASKS.get(record.task)
    settings = _with_locations(task, config, locations or {})
    pair = Pair(record.task, record.pair, settings, str(config.get("device", "cpu")))
    try:
        config_here = pair.teacher_config(record.seed) if record.kind == "teacher" else pair.config
    except DataError as error:
        raise error.within("" if settings_of(config.get("data")) else "--set") from error
    present, recorded = (flat({key: each.get(key) for key in pair.config}) for each in (config_here, config))
    for field in sorted(recorded.keys() | present.keys(), key=lambda field: (field != "code", field)):
        past, now = recorded.get(field, ABSENT), present.get(field, ABSENT)
        if past != now:
            raise UserError(f"made with {_kind(field)}: {field} was {plain(past)}, is {plain(now)}{_hint(field)}")
    return pair


def _kind(field: str) -> str:
    """What of a pair differs with a field of its configuration."""
    if field.rpartition(".")[2] == "code":
        return "different code"
    return "different data" if field.startswith("data.") or field == "data" else "different settings"


def _hint(field: str) -> str:
    return "; give the place of the data with --set data.train=DIR" if _kind(field) == "different data" else ""


def _with_locations(task: type[Task], config: Mapping[str, Any], locations: Mapping[str, Any]) -> TaskSettings:
    """A record's settings, with what it leaves open from the user."""
    recorded = config.get("settings")
    untrusted = dict(_untrusted(recorded))
    flat_locations = flat(locations) if locations else {}
    for field in flat_locations:
        if field not in untrusted and field.split(".")[0] not in task.Settings.locations:
            allowed = [*sorted(task.Settings.locations), *untrusted]
            raise UserError("is not a setting of where data lie", f"--set {field}", allowed=allowed)
    for field, reason in untrusted.items():
        if field not in flat_locations:
            raise UserError(f"{reason}: confirm it with --set {field}=…", field=f"config.settings.{field}")
    settings = {**without_digests(recorded), "data": settings_of(config.get("data"))}
    return validate(task.Settings, _merged(settings, locations), place_in("config.settings"))


def _untrusted(settings: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings that are not taken from a record, and why: where files lie, and foreign code that makes networks.

    Opening a record from an unknown source must not run what it names.
    """
    if not isinstance(settings, Mapping):
        return
    name = settings.get("name")
    runs = NETWORKS.get(name).runs if isinstance(name, str) and name in NETWORKS.names() else ()
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _untrusted(value, f"{prefix}{key}.")
        elif key in runs:
            yield f"{prefix}{key}", f"{plain(value)!r} would be imported and run"
        elif key in FILES and value is not None:
            yield f"{prefix}{key}", "records do not say where files lie"


def _merged(settings: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, with the values of ``override`` where both have one."""
    result = dict(settings)
    for key, value in override.items():
        table = result.get(key)
        result[key] = _merged(table, value) if isinstance(value, Mapping) and isinstance(table, Mapping) else value
    return result


def load(
    path: Path, record: Record, cache: Path | None = None, locations: Mapping[str, Any] | None = None
) -> TrainedNetwork:
    """Load the network of a record.

    Args:
        path: Where the record lies.
        record: Of a student or teacher.
        cache: Folder of teachers and feature extractors; default: that of the results folder.
        locations: Settings that say where the data lie.

    Raises:
        UserError: The record has no network, or its weights are missing, damaged, or of another record.
    """
    try:
        pair = _pair_with_weights(record, locations)
    except UserError as error:
        raise error.within(path) from error
    cache = cache or results_of(path, record) / "cache"
    weights = weights_of(path, record, cache)
    role: Role = "teacher" if record.kind == "teacher" else "student"
    try:
        extractor = pair.extractor_hash is not None and usable(pair.extractor_path(cache), pair.extractor_hash)
        task = pair.build(cache, "trained" if extractor else "none", device="cpu")
        model = initial(task, role, 0)
        deployed = task.deployed(model)
        _load(model if role == "teacher" else deployed, weights, record)
        if (role == "teacher" or deployed is model) and digest(model) != record.weights_sha256:
            raise UserError(f"does not hold the weights of {path}", weights)
        read_only(model)
        return TrainedNetwork(record, pair, task, model, deployed, inputs_of(task, model))
    except DataError as error:
        raise error.within(path) from error


def _pair_with_weights(record: Record, locations: Mapping[str, Any] | None) -> Pair:
    """The pair of a record whose network was kept; UserError for another."""
    if record.kind == "baseline":
        raise UserError("is a baseline: it has no network")
    if record.failure is not None:
        raise UserError(f"the cell failed, it has no network ({record.failure.reason})")
    if record.trial is not None:
        raise UserError("is a trial of tuning: its weights are not kept")
    pair = pair_of(record, locations)
    if record.kind == "teacher" and record.weights_sha256 is None:
        raise UserError("its network is a file already, and has no weights to load")
    return pair


def results_of(path: Path, record: Record) -> Path:
    """Return the results folder that a record lies in.

    Raises:
        UserError: It lies elsewhere.
    """
    absolute, place = path.resolve(), record.path
    if absolute.parts[-len(place.parts) :] != place.parts:
        problem = f"is not in a results folder (expected: {place} in one): its weights cannot be found"
        raise UserError(problem, path)
    return absolute.parents[len(place.parts) - 1]


def weights_of(path: Path, record: Record, cache: Path) -> Path:
    """Return where a record's weights lie: a student's in its results folder, a teacher's in the cache."""
    if record.kind == "teacher":
        return teacher_path(cache, record.config_hash)
    return results_of(path, record) / record.weights_path


def _load(model: nn.Module, path: Path, record: Record) -> None:
    if not path.exists():
        hint = " (give the folder of teachers with --cache)" if record.kind == "teacher" else ""
        raise UserError(f"the weights are missing{hint}", path)
    load_weights(path, model, record.config_hash)


def inputs_of(task: Task, model: nn.Module) -> tuple[Tensor, ...]:
    """Return batches that an evaluation on the test split passes to the deployed network, and some of another size."""
    batches = evaluation_inputs(task, model, "test")
    return (*batches, *_other_sizes(task.deployed(model), batches))


@torch.no_grad()
def _other_sizes(model: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """A batch of one example, and a batch of small parts of images where the network takes them."""
    sizes = [batches[0][:1]]
    height, width = OTHER_SIZE
    if parts := [
        b[:1, :, :height, :width] for b in batches if b.ndim == 4 and b.shape[2] > height and b.shape[3] > width
    ]:
        small = torch.cat(parts)
        try:
            model(small)
        except Exception:  # whatever a network raises for a size that it cannot take
            return sizes
        sizes.append(small)
    return sizes

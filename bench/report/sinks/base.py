"""What is told of a record, whoever is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from distillbench.bench.store.configurations import flat
from distillbench.bench.store.records import Record
from distillbench.common.errors import UserError


class Sink(ABC):
    """Takes each record once, however often it is given."""

    @abstractmethod
    def write(self, record: Record) -> bool:
        """Whether it was not there yet."""


def package(name: str, extra: str, option: str) -> Any:
    """An optional package; UserError that names the extra where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{option}: needs the package {name} (pip install 'distillbench[{extra}]')") from error


def scalars(record: Record) -> Iterator[tuple[str, int, float]]:
    """(name, step, value): the training curve, then the metrics after the last step."""
    steps = record.training.steps if record.training else 0
    if record.training:
        curve = record.training.curve
        for step, loss, validation in zip(curve.steps, curve.loss, curve.validation, strict=True):
            if loss is not None:
                yield "train/loss", step, loss
            if validation is not None:
                yield f"validation/{record.primary_metric}", step, validation
    for name, metric in record.metrics.items():
        yield f"test/{name}" if record.split == "test" else f"validation/{name}", steps, metric.value


def parameters(record: Record) -> dict[str, str]:
    """Its configuration, one text a setting."""
    return {name: str(value) for name, value in flat(record.config).items() if name and value is not None}

"""What every experiment tracker is given of a record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from distillbench.bench.store.configurations import flat
from distillbench.bench.store.records import Record
from distillbench.common.errors import UserError


class Tracker(ABC):
    """An experiment tracker, which stores each record once, however often it is written."""

    @abstractmethod
    def write(self, record: Record) -> bool:
        """Store a record.

        Returns:
            Whether the tracker did not have it yet.
        """


def package(name: str, extra: str, option: str) -> Any:
    """Import an optional package.

    Args:
        name: The package or module.
        extra: The extra of distillbench that installs it.
        option: The option that needs it, for the message.

    Raises:
        UserError: If the package is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"needs the package {name} (pip install 'distillbench[{extra}]')", option) from error


def scalars(record: Record) -> Iterator[tuple[str, int, float]]:
    """The training curve, then the metrics after the last step, as (name, step, value)."""
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
    """The configuration of a record, one text for each setting."""
    return {name: str(value) for name, value in flat(record.config).items() if name and value is not None}

"""A task of another package: is a digit odd? Everything but the labels is the built-in classification."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from distillbench.tasks.base import Splits, TaskSettings
from distillbench.tasks.classification import Classification
from distillbench.tasks.data.embedded import LabelledImages


class Parity(Classification):
    """Tell odd digits from even ones."""

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        return {"parity of": super().data_identity(settings)}

    @cached_property
    def splits(self) -> Splits[LabelledImages]:
        whole = super().splits

        def parity(data: LabelledImages) -> LabelledImages:
            return replace(data, labels=data.labels % 2, classes=("even", "odd"))

        return Splits(parity(whole.train), parity(whole.validation), parity(whole.test))

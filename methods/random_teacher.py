"""Control: temperature distillation from a teacher that knows nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from distillbench.methods.temperature import Temperature


class RandomTeacher(Temperature):
    """Control: temperature distillation from an untrained teacher.

    What helps as much as this is not the teacher's knowledge.
    """

    teacher: ClassVar[Literal["untrained"]] = "untrained"

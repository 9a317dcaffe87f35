"""Control: temperature distillation from a teacher of the student's own size."""

from __future__ import annotations

from typing import ClassVar, Literal

from distillbench.methods.temperature import Temperature


class SelfTeacher(Temperature):
    """Control: temperature distillation from a network equal to the student, trained alone before.

    It is a born-again network (Furlanello et al. 2018) with softened answers. What a method gains beyond this row is
    due to what a larger teacher knows, or one that has seen more, not to having any teacher.
    """

    teacher: ClassVar[Literal["self"]] = "self"
    control: ClassVar[bool] = True

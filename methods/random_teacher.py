"""Control: temperature distillation from an untrained teacher."""

from __future__ import annotations

from typing import ClassVar, Literal

from distillbench.methods.temperature import Temperature


class RandomTeacher(Temperature):
    """Control: temperature distillation from an untrained teacher.

    A method that helps no more than this control does not transfer what the teacher has learnt.
    """

    teacher: ClassVar[Literal["untrained"]] = "untrained"
    control: ClassVar[bool] = True

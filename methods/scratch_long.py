"""Control: the student alone, for as many steps as its teacher."""

from __future__ import annotations

from typing import ClassVar, Literal

from distillbench.methods.base import Need
from distillbench.methods.scratch import Scratch


class ScratchLong(Scratch):
    """Control: the student alone, trained for as many steps as its teacher.

    It divides the gap between scratch and the teacher: up to this row it is length of training, beyond it capacity.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"longer teacher"})
    steps_of: ClassVar[Literal["teacher"]] = "teacher"

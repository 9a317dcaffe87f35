"""Which methods are defined on which pairs, known before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillbench.bench.suite.registry import TASKS

if TYPE_CHECKING:
    from distillbench.bench.suite.cells import Pair
    from distillbench.methods.base import Method


def undefined(method: Method, pair: Pair) -> str | None:
    """Return why a method is not defined on a pair, as 'needs labels; gan has none'; None where it is."""
    if "labels" in method.needs and TASKS.get(pair.task).truth != "labels":
        return f"needs labels; {pair.task} has none"
    if "longer teacher" in method.needs:
        return _of_equal_length(pair)
    return None


def _of_equal_length(pair: Pair) -> str | None:
    """Why training a student for its teacher's steps would be no different."""
    if pair.settings.pretrained:
        return "needs the teacher's steps; its weights come from a file"
    teacher, student = pair.settings.recipe("teacher"), pair.settings.recipe("student")
    for unit in ("steps", "epochs"):
        of_teacher, of_student = getattr(teacher, unit), getattr(student, unit)
        if of_teacher is not None and of_student is not None and of_teacher <= of_student:
            return f"needs a teacher with more {unit} than the student"
    return None

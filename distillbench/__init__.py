"""distillbench: a benchmark of knowledge distillation. ``from distillbench import run, load_records``."""

from bench import FailedCellsError, load_records, run

__all__ = ["FailedCellsError", "load_records", "run"]

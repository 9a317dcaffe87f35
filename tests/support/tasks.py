"""What tests of every cell go through."""

from __future__ import annotations

TASK_NAMES = ("classification", "denoising", "gan", "style_transfer", "super_resolution", "vae")
METHOD_NAMES = ("temperature", "random_teacher", "logistic", "cross_model")

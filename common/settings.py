"""The base class of everything a suite file sets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from distillbench.common.paths import expanded_setting


class Frozen(BaseModel):
    """Settings: immutable, unknown keys refused, every default visible in the record. A path may begin with ``~``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    _home = field_validator("*")(expanded_setting)

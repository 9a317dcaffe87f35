"""``distillbench config``: a suite with every setting."""

from __future__ import annotations

from distillbench.bench.commands.options import Data, Device, Methods, Seeds, Settings, SuiteName, Tasks, loaded


def config(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
) -> None:
    """Print a suite as TOML with every setting, the defaults included: a file that runs the same."""
    from distillbench.bench.suite.file import written
    from distillbench.bench.suite.resolve import as_table

    resolved = loaded(suite, tasks, methods, seeds, set_, device)
    print(written(as_table(resolved)), end="")

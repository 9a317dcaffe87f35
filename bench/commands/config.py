"""``distillbench config``: a suite with every setting that it comes to."""

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
    """The resolved suite as TOML, defaults and all: a file that runs the same."""
    from distillbench.bench.suite.file import written
    from distillbench.bench.suite.resolve import as_table

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    print(written(as_table(chosen)), end="")

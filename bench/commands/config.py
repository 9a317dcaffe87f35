"""``distillbench config``: a suite with every setting that it comes to."""

from __future__ import annotations

from bench.commands.options import Data, Device, Methods, Seeds, Settings, SuiteName, Tasks, loaded


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
    from bench.suite import as_table
    from bench.suite_file import written

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    print(written(as_table(chosen)), end="")

"""``distillbench config``: a suite with every setting that it comes to."""

from __future__ import annotations

import re

from bench.commands.options import Device, Methods, Seeds, Settings, SuiteName, Tasks, loaded


def config(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    set_: Settings = None,
    device: Device = None,
) -> None:
    """The resolved suite as TOML, defaults and all: a file that runs the same."""
    import tomli_w

    from bench.suite import as_table

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    text = tomli_w.dumps(as_table(chosen))
    print(re.sub(r"\[\n((?: {4}[^\[\]\n]+,\n)+)\]", _in_a_line, text), end="")


def _in_a_line(array: re.Match[str]) -> str:
    return f"[{' '.join(array[1].split())[:-1]}]"

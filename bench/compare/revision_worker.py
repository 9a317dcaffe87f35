"""The program that times one revision whenever the comparison asks it to.

It is run as a file, ``python -P revision_worker.py``, with the revision on the module search path: it may use only what
old revisions have. Requests arrive as lines of JSON on standard input, of which the comparison holds the only other
end: when that closes, the process ends in the middle of whatever it does. Answers go to standard output, everything
else to standard error.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
Calls = dict[str, Callable[[], object]]


def main() -> None:
    """Answer requests until the input closes: first "open", then any number of "sample"."""
    source, sink = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, requests), daemon=True).start()
    calls: Calls = {}
    while True:
        request = requests.get()
        try:
            answer = _open(request, calls) if request["do"] == "open" else _sample(request, calls)
        except Exception as error:  # a revision may fail in any way: that it does, is the answer
            answer = {"error": _first_line(error)}
        try:
            sink.write(json.dumps(answer) + "\n")
            sink.flush()
        except BrokenPipeError:
            os._exit(1)


def _first_line(error: Exception) -> str:
    name, lines = type(error).__name__, [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [name])[0] if name == "UserError" else ": ".join([name, *lines[:1]])


def _listen(source: TextIO, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        for line in source:
            requests.put(json.loads(line))
    finally:
        os._exit(0)


def _open(request: dict[str, Any], calls: Calls) -> dict[str, Any]:
    """Build what is to be timed; the answer holds sizes by network, if requested, and why a subject is unavailable."""
    import torch

    untrained, load = map(_function, ("untrained", "load"))
    _keep_memory()
    torch.set_num_threads(1)
    suite = load(request["suite"], overrides=request["set"], tasks=request["tasks"], device="cpu")
    sizes: dict[str, dict[str, int]] = {}
    unavailable: dict[str, str] = {}
    for pair in _pairs(suite):
        for role in ("student", "teacher") if request["sizes"] else ("student",):
            model, example = untrained(pair, role, Path(request["cache"]))
            cell = f"{pair.task}/{pair.pair}"
            model.eval()
            if request["sizes"]:
                sizes[f"{cell}/{role}"] = _size(model, example)
            if role == "student":
                unavailable |= _prepare_all(cell, request["backends"], model, example, calls)
    gc.collect()
    gc.disable()
    return {"sizes": sizes, "subjects": list(calls), "unavailable": unavailable}


def _prepare_all(cell: str, backends: list[str], model: Any, example: Any, calls: Calls) -> dict[str, str]:
    """Add a warm call for each backend; the reasons of those that are unavailable."""
    unavailable = {}
    for backend in backends:
        subject, call = f"{cell}\t{backend}", _prepared(backend, model, example)
        if callable(call):
            call()
            calls[subject] = call
        else:
            unavailable[subject] = call.reason
    return unavailable


PRESENT_LAYOUT = {
    "untrained": "distillbench.bench.run.jobs",
    "load": "distillbench.bench.suite.resolve",
    "pairs": "distillbench.bench.suite.resolve",
    "prepare": "distillbench.bench.measure.backends",
}
"""The modules of the functions that are needed here."""
OLD_LAYOUT = {
    "untrained": "bench.jobs",
    "load": "bench.suite",
    "pairs": "bench.suite",
    "prepare": "bench.measure.backends",
}
"""Their modules in revisions whose harness was a package of its own, ``bench``, beside ``distillbench``."""


def _pairs(suite: Any) -> Any:
    """The pairs of a suite: its property, or what the function of an older revision returns."""
    return suite.pairs if hasattr(suite, "pairs") else _function("pairs")(suite)


def _function(name: str) -> Any:
    """A function of the revision, in whichever layout it has."""
    # Not by find_spec: an editable installation would find its own harness in the package of an old revision.
    package = import_module("distillbench").__path__[0]
    modules = PRESENT_LAYOUT if Path(package, "bench").exists() else OLD_LAYOUT
    return getattr(import_module(modules[name]), name)


def _keep_memory() -> None:
    """Keep freed memory, as ``bench/measure/memory.py`` does, which not every revision has."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def _size(model: Any, example: Any) -> dict[str, int]:
    """Counted here, not by the revision, so that both sides follow the same rule."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(example)
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    return {
        "parameters": sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()),
        "MACs": counter.get_total_flops() // 2,
        "bytes": sum(t.numel() * t.element_size() for t in tensors),
    }


def _prepared(backend: str, model: Any, example: Any) -> Any:
    """A callable, or an object whose ``reason`` says why there is none. Eager needs nothing of the revision."""
    if backend != "eager":
        prepared = _function("prepare")(backend, model, example)
        return getattr(prepared, "call", prepared)  # some revisions wrap it

    import torch

    def call() -> object:
        with torch.inference_mode():
            return model(example)

    return call


def _sample(request: dict[str, Any], calls: Calls) -> dict[str, float]:
    call, loops = calls[request["subject"]], request["loops"]
    for _ in range(math.ceil(request["warm_up"])):
        call()
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()

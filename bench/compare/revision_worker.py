"""A process that times one revision when it is its turn.

Run from the driver's file, ``python -P revision_worker.py``, with the revision on the path: it may use only what old
revisions have. Requests come in as lines of JSON on standard input, of which the driver has the only other end: when it
closes, the process is gone in the middle of whatever it does. Answers go to standard output, all else to standard
error.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
Calls = dict[str, Callable[[], object]]


def main() -> None:
    """Answer until the input closes: first "open", then as many "sample" as the driver likes."""
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
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            its = type(error).__name__
            answer = {"error": (lines or [its])[0] if its == "UserError" else ": ".join([its, *lines[:1]])}
        try:
            sink.write(json.dumps(answer) + "\n")
            sink.flush()
        except BrokenPipeError:
            os._exit(1)


def _listen(source: TextIO, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        for line in source:
            requests.put(json.loads(line))
    finally:
        os._exit(0)


def _open(request: dict[str, Any], calls: Calls) -> dict[str, Any]:
    """Builds what is to be timed. Answers with sizes by cell, if asked for, and why a subject is not there."""
    import torch

    untrained, load = map(_function, ("untrained", "load"))
    _keep_memory()
    torch.set_num_threads(1)
    suite = load(request["suite"], overrides=request["set"], tasks=request["tasks"], device="cpu")
    sizes, unavailable = {}, {}
    for pair in (entry.pair for entry in suite.entries):
        for role in ("student", "teacher") if request["sizes"] else ("student",):
            model, example = untrained(pair, role, Path(request["cache"]))
            cell = f"{pair.task}/{pair.pair}"
            model.eval()
            if request["sizes"]:
                sizes[f"{cell}/{role}"] = _size(model, example)
            for backend in request["backends"] if role == "student" else ():
                call = _prepared(backend, model, example)
                if callable(call):
                    call()
                    calls[f"{cell}\t{backend}"] = call
                else:
                    unavailable[f"{cell}\t{backend}"] = call.reason
    gc.collect()
    gc.disable()
    return {"sizes": sizes, "subjects": list(calls), "unavailable": unavailable}


NOW = {
    "untrained": "distillbench.bench.run.jobs",
    "load": "distillbench.bench.suite.resolve",
    "prepare": "distillbench.bench.measure.backends",
}
ONCE = {"untrained": "bench.jobs", "load": "bench.suite", "prepare": "bench.measure.backends"}
"""Where these functions are in a revision, and where they were when the harness was a package of its own, ``bench``."""


def _function(name: str) -> Any:
    """A function of the revision's, wherever it is there."""
    modules = NOW if find_spec("distillbench.bench") else ONCE
    return getattr(import_module(modules[name]), name)


def _keep_memory() -> None:
    """As ``bench/measure/memory.py`` does, which not every revision has."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def _size(model: Any, example: Any) -> dict[str, int]:
    """Counted here, not by the revision: both sides by the same rule."""
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
    """A call, or what says why there is none. Eager needs nothing of the revision."""
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

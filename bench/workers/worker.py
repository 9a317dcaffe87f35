"""A worker process: does the jobs that come in on its standard input, and tells on its standard output what happens.

It lives as long as that input does. The driver holds the only other end, so when the driver closes it, or ends in
whatever way (killed, out of memory), the worker is gone at once, in the middle of a step if need be. It does not import
the user's ``__main__``.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
import traceback
from typing import BinaryIO

from distillbench.bench.workers.messages import Done, Progress, receive, send


def main() -> None:
    """Work until the input closes. What a job prints goes to standard error: standard output is for messages."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, jobs), daemon=True).start()
    try:
        while True:
            _work(jobs.get(), sink)
    except BrokenPipeError:
        os._exit(1)


def _listen(source: BinaryIO, jobs: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            jobs.put(receive(source))
    except BaseException:  # whatever happened to the pipe: there is nobody left to work for
        os._exit(1)


def _work(message: bytes, sink: BinaryIO) -> None:
    id_, task = pickle.loads(message)
    send(sink, Progress(id_, 0, 1))  # it has begun; what comes next may report no steps
    try:
        execute, job = pickle.loads(task)
        result = execute(job, lambda step, steps: send(sink, Progress(id_, step, steps)))
        send(sink, Done(id_, result, None))
    except BrokenPipeError:
        raise
    except Exception as error:  # it fails this job, not the worker
        send(sink, Done(id_, None, _portable(error)))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, its traceback in a note."""
    text = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # an exception class may refuse to be copied in any way
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker process:\n{text}")
    return copy


if __name__ == "__main__":
    main()

"""A worker process: does the jobs that come in on its standard input, and reports events on its standard output.

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

from distillbench.bench.workers.executor import JobEnd, JobProgress
from distillbench.bench.workers.pipes import receive, send


def main() -> None:
    """Do jobs until the input closes; what they print goes to standard error, since standard output is for events."""
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
    except BaseException:  # whatever happened to the pipe: the driver is gone
        os._exit(1)


def _work(message: bytes, sink: BinaryIO) -> None:
    id_, content = pickle.loads(message)
    send(sink, JobProgress(id_, 0, 1))  # it has started; not every job reports steps
    try:
        execute, job = pickle.loads(content)
        result = execute(job, lambda step, steps: send(sink, JobProgress(id_, step, steps)))
        send(sink, JobEnd(id_, result, None))
    except BrokenPipeError:
        raise
    except Exception as error:  # it fails this job, not the worker
        send(sink, JobEnd(id_, None, portable(error)))


def portable(error: Exception) -> Exception:
    """An error that can be pickled, its traceback in a note."""
    text = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # an exception class may refuse to be copied in any way
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker process:\n{text}")
    return copy


if __name__ == "__main__":
    main()

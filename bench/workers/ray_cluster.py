"""The executor of a Ray cluster: one task a job, on whichever node has room.

Ray places the tasks, moves what they pass on, and tells who died. No folder is shared: what a job reads comes to its
node, and what it writes comes back to the driver, which alone writes to the results folder.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distillbench.bench.workers.executor import Event, Execute, P, T
from distillbench.bench.workers.local import DEFAULTS
from distillbench.bench.workers.software import difference, software
from distillbench.common.errors import UserError

ANSWERS_WITHIN = 10.0
"""Seconds that a cluster has to answer."""
STARTS_WITHIN = 60.0
"""Seconds that the nodes have to start a process and say what they run."""


@dataclass(frozen=True)
class RayExecutor:
    """Runs jobs as tasks of a Ray cluster; see ``Executor``.

    Attributes:
        address: HOST:PORT of the cluster's head, or "auto" for the one that runs here; None: a cluster of this machine
            alone, which ends with the run.
        gpus: What a job takes of a GPU: 0.25 lets four share one.
        workers: How many jobs run at once, at most; None: as many as the cluster has room for.
        whole_node: Whether a job has a node for itself.
    """

    address: str | None = None
    gpus: float = 0.0
    workers: int | None = None
    whole_node: bool = False

    def run(self, jobs: Sequence[P], execute: Execute[P, T]) -> Generator[Event[T], None, None]:
        """Run every job after those it needs, and yield what happens; see ``Executor.run``.

        Raises:
            UserError: The cluster does not answer, or a node has other code or libraries.
        """
        with _connected(self.address):
            _check_gpus(self.gpus)
            from distillbench.bench.workers.ray_tasks import Tasks

            yield from Tasks(jobs, execute, self.gpus, self.workers, self.whole_node).events()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", str(int(ANSWERS_WITHIN)))  # one a second, read at the import
    try:
        import ray
    except ImportError:
        raise UserError("needs the package ray (pip install 'distillbench[ray]')", "--executor") from None

    if address not in (None, "auto"):
        _check_answer(str(address))
    paths = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    own = {name: value for name, value in os.environ.items() if name.startswith("DISTILLBENCH_")}
    variables = DEFAULTS | own | {"PYTHONPATH": paths}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env={"env_vars": variables})
    except (ConnectionError, RuntimeError, ValueError) as error:
        if "InvalidAuthToken" in f"{error}{error.__cause__}":
            problem = "the cluster asks for its token (RAY_AUTH_MODE=token, and the head's ~/.ray/auth_token)"
            raise UserError(problem, "--address") from error
        raise UserError(f"no cluster answers ({_first_line(error)})", "--address") from error
    _silence()
    try:
        _check_nodes()
        yield
    finally:
        ray.shutdown()


def _silence() -> None:
    """Keep Ray from printing a hundred lines of its own about a lost worker or node, beside the driver's line."""
    with suppress(Exception):  # no part of Ray's interface: where it has another form, there are more lines
        from ray._private import worker

        worker.print_to_stdstream = lambda *_, **__: None


def _check_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{address!r} is no address", "--address", allowed="HOST:PORT or auto")
    try:
        with socket.create_connection((host, int(port)), ANSWERS_WITHIN):
            pass
    except OSError as error:
        raise UserError(f"{address} does not answer ({error.strerror or error})", "--address") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_nodes() -> None:
    """Refuse a node that runs something else: what it made would differ, or would not be made at all."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    names = {node["NodeID"]: _name(node) for node in ray.nodes() if node["Alive"]}
    asked = ray.remote(num_cpus=0, max_retries=0)(_software_there)
    answers = {
        asked.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(): name
        for node, name in names.items()
    }
    answered, silent = ray.wait(list(answers), num_returns=len(answers), timeout=STARTS_WITHIN)
    if silent:
        raise UserError(f"{answers[silent[0]]} does not answer", "--address")
    for reference in answered:
        name = answers[reference]
        try:
            there = ray.get(reference)
        except ray.exceptions.TaskUnschedulableError:
            continue  # it has gone meanwhile
        except ray.exceptions.RayError as error:
            raise UserError(f"{name} cannot run distillbench ({_cause(error)})", "--address") from error
        if differs := difference(there, software()):
            raise UserError(f"{name} {differs}", "--address")


def _software_there() -> dict[str, str]:
    return software()


def _check_gpus(asked: float) -> None:
    """Refuse a cluster on which every job would wait for a GPU for ever."""
    import ray

    if asked and ray.cluster_resources().get("GPU", 0.0) < min(asked, 1.0):
        raise UserError("the cluster has no GPU", "--device", allowed="here: cpu")


def _name(node: Mapping[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})"


def _cause(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"

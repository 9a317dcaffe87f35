"""A run on a Ray cluster of three nodes, of which one is killed: ``python tests/simulations/lost_node.py [SUITE]``.

Compares its records with those of a run without a cluster, bit by bit. Exits with 1 where any is lost or different.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from ray.cluster_utils import Cluster

from support.processes import finish, reproducible, start


def main(
    suite: Annotated[str, typer.Argument(help="The suite to run.")] = "smoke",
    share: Annotated[float, typer.Option(help="The share of the time of a local run after which a node dies.")] = 0.5,
) -> None:
    """Run, kill, compare."""
    with TemporaryDirectory(prefix="distillbench-lost-node-") as folder:
        variables = os.environ | {"DISTILLBENCH_LOCK": f"{folder}/lock"}
        command = [sys.executable, "-m", "distillbench", "run", suite, "--out"]
        begin = time.monotonic()
        done = finish([*command, f"{folder}/local"], limit=3600, env=variables)
        assert done.returncode == 0, done.stderr
        seconds = time.monotonic() - begin
        local = reproducible(Path(folder, "local"))
        print(f"local: {len(local)} records after {seconds:.0f} s", flush=True)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        _, victim = (cluster.add_node(num_cpus=1) for _ in range(2))
        begin = time.monotonic()
        with start(
            [*command, f"{folder}/ray", "--executor", "ray", "--address", cluster.address], env=variables
        ) as run:
            time.sleep(share * seconds)
            cluster.remove_node(victim, allow_graceful=False)
            print(f"a node was killed after {time.monotonic() - begin:.0f} s", flush=True)
            out, errors = run.communicate(timeout=3600)
        cluster.shutdown()
        assert run.returncode == 0, errors
        there = reproducible(Path(folder, "ray"))
        print("\n".join(line for line in out.splitlines() if "once more" in line))
        print(f"three nodes: {len(there)} records after {time.monotonic() - begin:.0f} s")
        print(f"equal to the bit: {there == local}")
        raise typer.Exit(there != local)


if __name__ == "__main__":
    typer.run(main)

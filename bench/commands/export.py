"""``distillbench export``: a finished network, to be used elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Data
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, results_folder

if TYPE_CHECKING:
    from distillbench.bench.export.trained_network import TrainedNetwork
    from distillbench.bench.measure.onnx_export import Exported


BESIDE = ("README.md", "run.py", "input.npy")


def export(
    record: Annotated[
        Path, typer.Argument(parser=expanded, metavar="RECORD", help="A student's or teacher's record file (.json).")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=results_folder, metavar="DIR", help="Folder for the ONNX file.")
    ],
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=expanded, metavar="PATH", help="Where trained teachers are kept; default: in the results folder."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Where the data lie, e.g. data.train=DIR."),
    ] = None,
    data: Data = None,
) -> None:
    """A finished network as ONNX, checked against PyTorch, with its model card and a script that runs it."""
    from distillbench.bench.export.trained_network import load, results_of
    from distillbench.bench.report.card import card
    from distillbench.bench.store.records import Store
    from distillbench.bench.suite.file import assigned
    from distillbench.bench.training.determinism import one_thread

    its = Store(record.parent).read(record)
    name = "-".join((its.task, its.pair, its.label, f"seed-{its.seed}"))
    with _folder(out, f"{name}.onnx") as folder, one_thread():
        network = load(record, its, cache, assigned(set_ or []))
        exported = _export(network)
        if exported.failure is not None:
            print(f"distillbench: {record}: cannot be exported: {exported.failure}", file=sys.stderr)
            raise typer.Exit(1)
        beside = Store(results_of(record, its)).scan().records
        _write(folder, name, network, exported, card(its, network.pair, exported, f"{name}.onnx", beside))
    parity, size = exported.parity, len(exported.content)
    assert parity is not None
    operators = sum((exported.operators or {}).values())
    print(f"{out / name}.onnx: {size:,} bytes, {operators} operators, opset {exported.opset}")
    print(
        f"equal to PyTorch on {parity.examples} test inputs: within {parity.absolute:.1e}, "
        f"{parity.relative:.1e} of the largest output"
    )
    print(f"beside it: {', '.join(BESIDE)}")


def _export(network: TrainedNetwork) -> Exported:
    import json

    from distillbench.bench.measure import onnx_export as measure
    from distillbench.bench.report.card import interface_of

    interface = interface_of(network.record.task)
    metadata = {
        "record": network.record.name,
        "configuration": network.record.config_hash,
        "prepare": interface.prepare,
        "multiple": str(interface.multiple),
        "classes": json.dumps(_classes(network)),
    }
    return measure.export(network.model, network.task.example_input(1), network.inputs, metadata)


def _classes(network: TrainedNetwork) -> list[str]:
    """Names of what the outputs are logits of; none where they are something else."""
    import torch

    with torch.no_grad():
        output = network.model(network.inputs[0][:1])
    names = list(getattr(network.task.splits.test, "classes", ()))
    return names if output.ndim == 2 and output.shape[1] == len(names) else []


def _write(folder: Path, name: str, network: TrainedNetwork, exported: Exported, text: str) -> None:
    import numpy as np

    from distillbench.bench.measure import run_onnx

    (folder / f"{name}.onnx").write_bytes(exported.content)
    (folder / "README.md").write_text(text, encoding="utf-8")
    shutil.copyfile(run_onnx.__file__, folder / "run.py")
    np.save(folder / "input.npy", network.inputs[0][:1].numpy())


@contextmanager
def _folder(out: Path, file: str) -> Iterator[Path]:
    """A folder to write into, whose files are in ``out`` in the end: all of them, or none.

    file: the ONNX file's name. An earlier export of it is replaced; nothing else is.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"--out: {out} is not a folder")
        there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
        mine = {file} | (set(BESIDE) if file in there else set())
        if strangers := [name for name in there if name not in mine and (name in BESIDE or name.endswith(".onnx"))]:
            first = min(strangers, key=lambda name: not name.endswith(".onnx"))
            raise UserError(f"--out: {out} holds another {first} (choose another folder)")
        base = out if out.is_dir() else out.parent
        base.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=base, prefix=f".{out.name}.") as temporary:
            yield Path(temporary)
            out.mkdir(exist_ok=True)
            for path in sorted(Path(temporary).iterdir()):
                path.replace(out / path.name)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"--out: {out} cannot be written: {error.strerror or error}{where}") from error

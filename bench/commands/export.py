"""``distillbench export``: a finished network as an ONNX file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Cache, Data
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, results_folder

if TYPE_CHECKING:
    from distillbench.bench.export.trained_network import TrainedNetwork
    from distillbench.bench.measure.onnx_export import Exported


BESIDE = ("README.md", "run.py", "input.npy")


def export(
    record: Annotated[
        Path, typer.Argument(parser=expanded, metavar="RECORD", help="Record file (.json) of a student or a teacher.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", parser=results_folder, metavar="DIR", help="Folder to write the ONNX file to."),
    ],
    cache: Cache = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Where the data are, e.g. data.train=DIR. Repeatable."),
    ] = None,
    data: Data = None,
) -> None:
    """Export a finished network to ONNX, checked against PyTorch, with a model card and a script that runs it."""
    from distillbench.bench.export.trained_network import load, results_of
    from distillbench.bench.report.card import card
    from distillbench.bench.store.records import Store
    from distillbench.bench.suite.file import assigned
    from distillbench.bench.training.determinism import one_thread

    content = Store(record.parent).read(record)
    name = "-".join((content.task, content.pair, content.label, f"seed-{content.seed}"))
    with _folder(out, f"{name}.onnx") as folder, one_thread():
        network = load(record, content, cache, assigned(set_ or []))
        exported = _export(network)
        if exported.failure is not None:
            print(f"distillbench: {record}: cannot be exported: {exported.failure}", file=sys.stderr)
            raise typer.Exit(1)
        records = Store(results_of(record, content)).scan().records
        _write(folder, name, network, exported, card(content, network.pair, exported, f"{name}.onnx", records))
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
    """The names of the classes, if the outputs are their logits."""
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
    """A temporary folder whose files are moved to ``out`` in the end: all of them, or none.

    Args:
        out: The folder of the export, created if it does not exist.
        file: The ONNX file's name; an earlier export of that name is replaced, and no other file.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is not a folder", "--out")
        present = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
        replaced = {file} | (set(BESIDE) if file in present else set())
        exports = [name for name in present if name in BESIDE or name.endswith(".onnx")]
        if others := [name for name in exports if name not in replaced]:
            first = min(others, key=lambda name: not name.endswith(".onnx"))
            raise UserError(f"{out} holds another {first} (choose another folder)", "--out")
        base = out if out.is_dir() else out.parent
        base.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=base, prefix=f".{out.name}.") as temporary:
            yield Path(temporary)
            out.mkdir(exist_ok=True)
            for path in sorted(Path(temporary).iterdir()):
                path.replace(out / path.name)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"{out} cannot be written: {error.strerror or error}{where}", "--out") from error

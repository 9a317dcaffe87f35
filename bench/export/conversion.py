"""Finished students as ONNX, in each form: whether they can be used, and what quantisation costs in quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from warnings import simplefilter

import onnx
import torch
from torch import Tensor, nn

from distillbench.bench.export.trained_network import Deployed, load
from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.measure import onnx_export as measure
from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.measure.quantise import quantise
from distillbench.bench.run.jobs import load_teacher
from distillbench.bench.store.exports import Artefact, Difference, Export, quantisation
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import Form
from distillbench.bench.store.weights import teacher_path
from distillbench.bench.training.determinism import settle_process
from distillbench.common.errors import DataWarning, UserError, one_line
from distillbench.tasks.base import Evaluation

LONGEST = 200
"""Characters of a reason."""


@dataclass(frozen=True)
class ConversionJob:
    """records: of students of one pair. forms: what to make of each; float32 is always made. locations: of the data."""

    id: str
    records: tuple[Record, ...]
    forms: tuple[Form, ...]
    results: Path
    cache: Path
    locations: dict[str, object]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Converted:
    """problems: why some records could not even be tried, one line each."""

    exports: tuple[Export, ...]
    problems: tuple[str, ...]


def execute(job: ConversionJob, report: Callable[[int, int], None]) -> Converted:
    """What came of each record. That weights are not there says nothing of a network, and is kept nowhere."""
    settle_process()
    simplefilter("ignore", DataWarning)
    exports: list[Export] = []
    problems: list[str] = []
    for done, record in enumerate(job.records):
        try:
            deployed = load(job.results / record.path, record, job.cache, job.locations)
        except UserError as error:
            problems.append(str(error))
        else:
            exports.append(_export(record, _artefacts(deployed, job.forms, job.cache)))
        report(done + 1, len(job.records))
    return Converted(tuple(exports), tuple(problems))


def _export(record: Record, artefacts: dict[Form, Artefact]) -> Export:
    return Export(
        task=record.task,
        pair=record.pair,
        label=record.label,
        seed=record.seed,
        config_hash=record.config_hash,
        weights_sha256=record.weights_sha256 or "",
        artefacts=artefacts,
        environment=environment(),
        revision=revision(),
    )


def _artefacts(deployed: Deployed, forms: Sequence[Form], cache: Path) -> dict[Form, Artefact]:
    full = measure.export(deployed.model, deployed.task.example_input(1), deployed.inputs)
    found: dict[Form, Artefact] = {"float32": _artefact(full)}
    for form in [form for form in forms if form != "float32"]:
        try:
            found[form] = _quantised(deployed, full.content, form, cache) if full.content else _artefact(full)
        except Exception as error:  # the quantiser raises whatever its parts do; that it cannot is the result
            found[form] = Artefact(failure=_line(error))
    return {form: artefact.model_copy(update={"quantisation": quantisation(form)}) for form, artefact in found.items()}


def _artefact(exported: measure.Exported) -> Artefact:
    parity = exported.parity
    return Artefact(
        bytes=len(exported.content),
        opset=exported.opset,
        operators=dict(exported.operators or {}),
        difference=Difference(examples=parity.examples, absolute=parity.absolute, relative=parity.relative)
        if parity
        else None,
        failure=exported.failure,
    )


def _quantised(deployed: Deployed, full: bytes, form: Form, cache: Path) -> Artefact:
    calibration = [batch.numpy() for batch in evaluation_inputs(deployed.task, deployed.whole, "validation")]
    content = quantise(full, "int8-static" if form == "int8-static" else "int8-dynamic", calibration)
    proto = onnx.load_from_string(content)
    found = _artefact(replace(measure.compared(proto, deployed.model, deployed.inputs), failure=None))
    try:
        evaluation = _quality(deployed, content, cache)
    except Exception as error:  # an evaluation may need what is not there any more: its teacher, a judge
        return found.model_copy(update={"unmeasured": _line(error)})
    if not evaluation.metrics:
        return found.model_copy(update={"unmeasured": "no metric looks at what is deployed"})
    examples = {
        metric: tuple(float(f"{v:.7g}") for v in values.values()) for metric, values in evaluation.examples.items()
    }
    return found.model_copy(update={"metrics": evaluation.metrics, "examples": examples})


def _quality(deployed: Deployed, content: bytes, cache: Path) -> Evaluation:
    """The task's own evaluation with the outputs of ONNX Runtime in the place of the network's.

    Metrics that depend on other parts of a model than the deployed one are left out, such as a VAE's ELBO.
    """
    session, teacher = measure.session(content), _teacher(deployed, cache)

    def quantised(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> Tensor:
        return torch.from_numpy(session.run([measure.OUTPUT], {measure.INPUT: inputs[0].numpy()})[0])

    handle = deployed.model.register_forward_hook(quantised)
    try:
        evaluation = deployed.task.evaluate(deployed.whole, teacher)
    finally:
        handle.remove()
    measured = {name for name, metric in deployed.task.metrics.items() if metric.deployed}
    return Evaluation(
        {name: value for name, value in evaluation.metrics.items() if name in measured and math.isfinite(value)},
        {
            name: values
            for name, values in evaluation.examples.items()
            if name in measured and tuple(values) == deployed.record.example_names
        },
    )


def _teacher(deployed: Deployed, cache: Path) -> nn.Module:
    """For the metrics of agreement with it. Raises UserError where it is not there any more."""
    path = teacher_path(cache, str(deployed.record.config.get("teacher")))
    if not path.exists():
        raise UserError(f"{path}: no weights are there, without its teacher a student cannot be evaluated")
    return load_teacher(deployed.task, path)[0]


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else "no reason given"
    return one_line(said if isinstance(error, UserError) else f"{type(error).__name__}: {said}")[:LONGEST]

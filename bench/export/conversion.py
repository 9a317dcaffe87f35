"""Conversion of finished students to ONNX, in each form, and the quality of the quantised ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from warnings import simplefilter

import onnx
import torch
from torch import Tensor, nn

from distillbench.bench.export.trained_network import TrainedNetwork, load
from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.measure import onnx_export as measure
from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.measure.failures import failure_line
from distillbench.bench.measure.quantise import quantise
from distillbench.bench.run.jobs import load_teacher
from distillbench.bench.store.exports import Artefact, Difference, Export, quantisation
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import Form, Quantised
from distillbench.bench.store.weights import teacher_path
from distillbench.bench.training.determinism import settle_process
from distillbench.bench.workers.executor import Whole
from distillbench.common.errors import DataWarning, UserError
from distillbench.tasks.base import Evaluation


@dataclass(frozen=True)
class ConversionJob(Whole):
    """The conversion of some students of one pair.

    Attributes:
        id: Its name.
        records: Of the students.
        forms: To make of each; float32 is always made.
        results: The results folder.
        cache: Folder of teachers and feature extractors.
        locations: Settings that say where the data lie.
        needs: Nothing.
    """

    id: str
    records: tuple[Record, ...]
    forms: tuple[Form, ...]
    results: Path
    cache: Path
    locations: dict[str, object]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion job.

    Attributes:
        exports: One of each record that could be tried, failed or not.
        problems: Why the others could not be tried, one line each.
    """

    exports: tuple[Export, ...]
    problems: tuple[str, ...]


def execute(job: ConversionJob, report: Callable[[int, int], None]) -> Conversion:
    """Convert the students of a job; missing weights say nothing of a network, and are not stored."""
    settle_process()
    simplefilter("ignore", DataWarning)
    exports: list[Export] = []
    problems: list[str] = []
    for count, record in enumerate(job.records, start=1):
        try:
            network = load(job.results / record.path, record, job.cache, job.locations)
        except UserError as error:
            problems.append(str(error))
        else:
            exports.append(_export(record, _artefacts(network, job.forms, job.cache)))
        report(count, len(job.records))
    return Conversion(tuple(exports), tuple(problems))


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


def _artefacts(network: TrainedNetwork, forms: Sequence[Form], cache: Path) -> dict[Form, Artefact]:
    full = measure.export(network.model, network.task.example_input(1), network.inputs)
    artefacts: dict[Form, Artefact] = {"float32": _artefact(full)}
    for form in forms:
        if form == "float32":
            continue
        try:
            artefacts[form] = _quantised(network, full.content, form, cache) if full.content else _artefact(full)
        except Exception as error:  # the quantiser raises whatever its parts do
            artefacts[form] = Artefact(failure=failure_line(error))
    return {form: each.model_copy(update={"quantisation": quantisation(form)}) for form, each in artefacts.items()}


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


def _quantised(network: TrainedNetwork, full: bytes, form: Quantised, cache: Path) -> Artefact:
    calibration = [batch.numpy() for batch in evaluation_inputs(network.task, network.whole, "validation")]
    content = quantise(full, form, calibration)
    proto = onnx.load_from_string(content)
    artefact = _artefact(replace(measure.compared(proto, network.model, network.inputs), failure=None))
    try:
        evaluation = _quality(network, content, cache)
    except Exception as error:  # an evaluation may need what was deleted: its teacher, a feature extractor
        return artefact.model_copy(update={"unmeasured": failure_line(error)})
    if not evaluation.metrics:
        return artefact.model_copy(update={"unmeasured": "no metric looks at what is deployed"})
    examples = {
        metric: tuple(float(f"{v:.7g}") for v in values.values()) for metric, values in evaluation.examples.items()
    }
    return artefact.model_copy(update={"metrics": evaluation.metrics, "examples": examples})


def _quality(deployed: TrainedNetwork, content: bytes, cache: Path) -> Evaluation:
    """The task's own evaluation, with what ONNX Runtime puts out in the place of what the network does.

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


def _teacher(deployed: TrainedNetwork, cache: Path) -> nn.Module:
    """Load the teacher, which metrics of agreement need. Raises UserError where it was deleted."""
    path = teacher_path(cache, str(deployed.record.config.get("teacher")))
    if not path.exists():
        raise UserError(f"{path}: missing: a student cannot be evaluated without its teacher")
    return load_teacher(deployed.task, path)[0]

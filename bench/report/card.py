"""The model card of an exported network: its training, its quality, its inputs and outputs, and its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distillbench.bench.analysis.series import series_of
from distillbench.bench.measure.onnx_export import TOLERANCE, Exported
from distillbench.bench.report.formatting import ARROWS, estimate_text
from distillbench.bench.store.configurations import Group, flat, groups, plain
from distillbench.bench.store.records import MetricValue, Record
from distillbench.bench.suite.catalogue import network
from distillbench.bench.suite.catalogue import plain as setting
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import METHODS, TASKS
from distillbench.tasks.data.embedded import PHOTOGRAPHS, STYLE_PICTURE
from distillbench.tasks.data.licences import DIGITS, LICENCES
from distillbench.tasks.data.sets import table
from distillbench.tasks.networks.interfaces import Interface


def interface_of(task: str) -> Interface:
    """What the networks of a task take and give."""
    return TASKS.get(task).interface


def card(record: Record, pair: Pair, exported: Exported, file: str, beside: Sequence[Record]) -> str:
    """The model card as GitHub Markdown.

    Args:
        record: The record of the exported network.
        pair: Its teacher-student pair, with all settings.
        exported: The ONNX file's content and what was measured of it.
        file: The ONNX file's name.
        beside: All records of the same results folder.
    """
    parts = {
        f"# {record.name}": _summary(record, pair),
        "## Run it": _usage(record, file),
        "## Input and output": _ends(record, exported),
        "## Training": _training(record, pair, beside),
        "## Quality": _quality(record, beside),
        "## The ONNX file": _file(record, exported, file),
        "## Data and licence": "\n".join(f"- {line}" for line in licences(record.config["data"])),
        "## Origin": _origin(record),
    }
    return "\n\n".join(f"{head}\n\n{text}" for head, text in parts.items()) + "\n"


def _summary(record: Record, pair: Pair) -> str:
    training = "trained on the task alone, as a teacher" if record.kind == "teacher" else f"trained by `{record.label}`"
    about = [
        f"A {record.kind} network, `{_network(pair, record.kind)}`, {training}, exported to ONNX by distillbench.",
        f"Task `{record.task}`: {TASKS.first_line(record.task)}",
    ]
    if record.kind == "student":
        about.append(f"Method `{record.label}`: {METHODS.first_line(record.label)}")
    return "\n\n".join(about)


def _network(pair: Pair, role: str) -> str:
    return network(getattr(pair.settings, role))


def _usage(record: Record, file: str) -> str:
    takes = interface_of(record.task).prepare != "array"
    return (
        f"`run.py` runs `{file}` with numpy and onnxruntime alone:\n\n"
        "    python run.py                       # on input.npy, a test input\n"
        + ("    python run.py image.png             # on an image (.png and its like want Pillow)\n" if takes else "")
        + "    python run.py input.npy output.npy  # on an array, and keep what comes out"
    )


def _ends(record: Record, exported: Exported) -> str:
    ends = interface_of(record.task)
    multiple = f" (sides: multiples of {ends.multiple})" if ends.multiple > 1 else ""
    rows = [
        ("input", exported.input_shape, exported.input_range, ends.takes),
        ("output", exported.output_shape, exported.output_range, ends.gives),
    ]
    lines = ["|  | shape | type | on test inputs | what |", "| --- | --- | --- | --- | --- |"]
    for name, shape, (low, high), what in rows:
        of = f"({', '.join(map(str, shape))})" + (multiple if name == "input" else "")
        lines.append(f"| {name} | {of} | float32 | {low:.4g} to {high:.4g} | {what} |")
    return "\n".join(lines)


def _training(record: Record, pair: Pair, beside: Sequence[Record]) -> str:
    recipe = getattr(pair.settings, record.kind)
    lines = []
    if record.kind == "student":
        hyperparameters = flat(record.config["hyperparameters"])
        values = ", ".join(f"{name} {setting(value)}" for name, value in hyperparameters.items() if name)
        lines += [
            f"method: `{record.label}`" + (f" ({values})" if values else ""),
            f"teacher: {_teacher(record, pair, beside)}",
        ]
    settings = recipe.model_dump(mode="json", exclude={"network"})
    lines.append(
        "recipe: " + ", ".join(f"{name.replace('_', ' ')} {setting(value)}" for name, value in settings.items())
    )
    others = {k: v for k, v in record.config["settings"].items() if k not in ("teacher", "student")}
    if others:
        lines.append("task: " + ", ".join(f"{name.replace('_', ' ')} {setting(v)}" for name, v in flat(others).items()))
    lines.append(f"seed: {record.seed}")
    if record.training is not None:
        lines.append(f"{record.training.steps} steps in {record.training.seconds:.1f} s")
    lines += [f"warning: {warning}" for warning in record.warnings]
    return "\n".join(f"- {line}" for line in lines)


def _teacher(record: Record, pair: Pair, beside: Sequence[Record]) -> str:
    """The teacher of the student, with its quality if the folder has its record."""
    name = f"`{_network(pair, 'teacher')}`"
    match METHODS.get(record.label).teacher:
        case "none":
            return "none"
        case "untrained":
            return f"{name}, untrained"
        case "own":
            return f"{name}, trained beside the student"
        case "self":
            return f"`{_network(pair, 'student')}`, as the student, trained before"
        case "trained":
            teacher = next((r for r in beside if r.config_hash == record.config["teacher"]), None)
            metric = teacher.metrics.get(record.primary_metric) if teacher else None
            return f"{name}, seed {record.teacher_seed}" + (
                f", {record.primary_metric.replace('_', ' ')} {_value(metric)}" if metric else ""
            )


def _quality(record: Record, beside: Sequence[Record]) -> str:
    """Each metric of this network, and the mean over the seeds of its method."""
    group = _row(record, beside)
    lines = [
        f"| metric | this network | mean ± 95% interval over {len(group.finished)} seeds, "
        "and test examples where known |",
        "| --- | --- | --- |",
    ]
    ordered = {
        name: record.metrics[name] for name in (record.primary_metric, *record.metrics) if name in record.metrics
    }
    for name, metric in ordered.items():
        series = series_of(group.finished, name)
        over = estimate_text(series.estimate() if series else None, metric)
        lines.append(f"| {name.replace('_', ' ')} {ARROWS[metric.direction]} | {_value(metric)} | {over} |")
    notes = [metric.note for metric in record.metrics.values() if metric.note]
    notes.append("measured on the test split by the network as it was trained, not by the ONNX file")
    return "\n".join([*lines, "", *(f"- {note}" for note in dict.fromkeys(notes))])


def _row(record: Record, beside: Sequence[Record]) -> Group:
    same = [r for r in beside if (r.task, r.pair) == (record.task, record.pair)]
    candidates = groups(same if any(r.config_hash == record.config_hash for r in same) else [record])
    return next(group for group in candidates if any(r.config_hash == record.config_hash for r in group.records))


def _value(metric: MetricValue) -> str:
    return f"{metric.value:.{metric.decimals}f}" + (f" {metric.unit}" if metric.unit else "")


def _file(record: Record, exported: Exported, file: str) -> str:
    size, parity = record.size, exported.parity
    assert parity is not None
    operators = ", ".join(f"{count} {name}" for name, count in (exported.operators or {}).items())
    lines = [f"`{file}`: {len(exported.content):,} bytes, opset {exported.opset}", f"operators: {operators}"]
    if size is not None:
        lines.append(f"{size.parameters:,} parameters, {size.macs:,} multiply-accumulates for {size.input_shape}")
    lines.append(
        f"against PyTorch on {parity.examples} test inputs: the largest difference is {parity.absolute:.1e}, "
        f"{parity.relative:.1e} of the largest output (allowed: {TOLERANCE})"
    )
    return "\n".join(f"- {line}" for line in lines)


def licences(data: Any) -> list[str]:
    """The credit and the licence of the data that a configuration names, one line for each split.

    Args:
        data: The configuration's description of its data.
    """
    if isinstance(data, Mapping) and "images" in data:
        return [*licences(data["images"]), f"feature extractor: Inception v3 (digest {plain(data['inception'])})"]
    if isinstance(data, Mapping) and "photographs" in data:
        embedded = isinstance(data["style"], Mapping)
        style = f"{_stem(STYLE_PICTURE[1])}: {LICENCES[_stem(STYLE_PICTURE[1])]}" if embedded else _own(data["style"])
        perceptual = (
            [f"perceptual network: VGG-16 (digest {plain(data['loss_network'])})"] if data["loss_network"] else []
        )
        return [*licences(data["photographs"]), f"style: {style}", *perceptual]
    if not isinstance(data, Mapping):
        return [f"data: {plain(data)}; its licence is not known"]
    if data.get("name") == "digits":
        return [f"all splits: {DIGITS}"]
    if data.get("name") == "photographs":
        return [line for split in ("train", "validation", "test") for line in _photographs(split)]
    if "name" in data:
        if "test" not in data:
            return [f"all splits: {_credit(data)}"]
        return [f"train and validation: {_credit(data)}", *licences({"test": data["test"]})]
    return [
        line
        for split in ("train", "validation", "test")
        if split in data
        for line in _split_licence(split, data[split])
    ]


def _split_licence(split: str, source: Any) -> list[str]:
    if isinstance(source, Mapping) and source.get("name") == "photographs":
        return _photographs(split)
    if isinstance(source, Mapping):
        return [f"{split}: {_credit(source)}"]
    return [f"{split}: {'a tenth of train' if source == 'carved' else _own(source)}"]


def _photographs(split: str) -> list[str]:
    return [f"{split}: {_stem(path)}: {LICENCES[_stem(path)]}" for _, path in getattr(PHOTOGRAPHS, split)]


def _credit(source: Mapping[str, Any]) -> str:
    """The credit of a standard data set that a configuration names; another version may have sets of other names."""
    name = str(source.get("name"))
    entry = table().get(name)
    return f"{entry.credit}, from {entry.origin}" if entry else f"{plain(name)}; its licence is not known"


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].partition(".")[0]


def _own(digest: object) -> str:
    return f"the user's own files (digest {plain(digest)}); their licence is not known"


def _origin(record: Record) -> str:
    environment = {key: value for key, value in record.environment.items() if key != "libraries"}
    libraries = record.environment.get("libraries", {})
    lines = [
        f"trained at revision {record.revision or 'unknown'}, {record.created:%Y-%m-%d}",
        f"configuration {record.config_hash}",
        f"weights {record.weights_sha256} (SHA-256)",
        ", ".join(f"{key} {value}" for key, value in flat(environment).items() if key),
        ", ".join(f"{name} {version}" for name, version in libraries.items()),
    ]
    return "\n".join(f"- {line}" for line in lines if line)

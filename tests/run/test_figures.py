"""Figures: what each task shows, and that it can be read."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from distillbench.bench.run.figures import image_grid
from distillbench.bench.run.figures.drawing import MOST_BYTES, alternative_text, png
from distillbench.bench.run.figures.image_grid import grid_figure
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.figures.kinds import Counts, FigureData, ImageGrid, Lines
from distillbench.tasks.figures.restored import AMPLIFIED, comparison, most_different
from distillbench.tasks.metrics.images import psnr
from support.tasks import TASK_NAMES

TaskOf = Callable[[str], Task]


PANELS = [
    ("classification", "hardest"),
    ("denoising", "crops"),
    ("denoising", "difference"),
    ("gan", "samples"),
    ("style_transfer", "paintings"),
    ("super_resolution", "crops"),
    ("super_resolution", "difference"),
    ("vae", "samples"),
    ("vae", "traversals"),
]


def panels(task: Task, *students: str) -> dict[str, FigureData]:
    models = {"teacher": read_only(initial(task, "teacher", 0))}
    models |= {name: read_only(initial(task, "student", i)) for i, name in enumerate(students or ("student",))}
    return dict(task.figures(models))


def shown(task: Task, name: str | None = None, *students: str) -> ImageGrid:
    """A grid, by default a task's first."""
    found = panels(task, *students)
    panel = found[name or next(iter(found))]
    assert isinstance(panel, ImageGrid)
    return panel


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_nothing_overlaps_and_nothing_is_cut_off(task_of: TaskOf, name: str, panel: str) -> None:
    pictures = shown(task_of(name), panel, "one", "other")
    assert {"teacher", "one", "other"} <= {*pictures.rows, *pictures.heads}
    figure = grid_figure(pictures, f"{name}, some_pair, seed 0")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts if text.get_text()]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert not [other for other in boxes[:i] if box.padded(-1).overlaps(other.padded(-1))]


@pytest.mark.parametrize("name", ["super_resolution", "denoising"])
def test_the_psnr_beneath_a_picture_is_that_of_what_is_shown(task_of: TaskOf, name: str) -> None:
    pictures = shown(task_of(name))
    original = pictures.rows["original"]
    assert set(pictures.captions) == set(pictures.rows) - {"original"}
    for row, captions in pictures.captions.items():
        pairs = zip(pictures.rows[row][: len(original)], original, strict=True)
        assert list(captions) == [f"{psnr(image[None], truth[None]):.2f} dB" for image, truth in pairs]


def test_super_resolution_shows_its_errors_as_much_too_bright_as_it_says(task_of: TaskOf) -> None:
    pictures = shown(task_of("super_resolution"))
    original = pictures.rows["original"]
    images, errors = pictures.rows["student"].split(len(original))
    assert torch.allclose(errors, (AMPLIFIED * (images - original).abs()).clamp(0, 1))
    assert set(pictures.heads[len(original) :]) == {f"error: |picture − original| × {AMPLIFIED}"}
    assert set(pictures.heads[: len(original)]) == {"picture"}


def test_heads_and_note_say_what_columns_and_inversions_mean(task_of: TaskOf) -> None:
    classification = shown(task_of("classification"))
    assert list(classification.heads[:10]) == [str(digit) for digit in range(10)]
    assert "inverted: a wrong answer" in classification.note
    vae = shown(task_of("vae"))
    assert set(vae.heads[: len(vae.rows["real"])]) == {"reconstructions"}
    assert set(vae.heads[len(vae.rows["real"]) :]) == {"samples of the prior"}
    assert list(shown(task_of("denoising")).heads) == ["astronaut", "chelsea", "camera", "coffee"]


def test_heads_and_captions_must_have_something_to_stand_at() -> None:
    rows = {"a": torch.zeros(2, 1, 4, 4)}
    with pytest.raises(ValueError, match="3 heads for 2 columns"):
        ImageGrid(rows, ["x", "y", "z"])
    with pytest.raises(ValueError, match="3 captions for the 2 pictures of 'a'"):
        ImageGrid(rows, captions={"a": ["1", "2", "3"]})
    with pytest.raises(ValueError, match="captions for the row 'b', which does not exist"):
        ImageGrid(rows, captions={"b": ["1"]})


def test_what_is_too_long_for_its_place_is_cut_to_it() -> None:
    figure = grid_figure(ImageGrid({"a": torch.zeros(4, 1, 8, 8)}, ["w" * 200, "b", "c", "d"]), "title")
    heads = [text.get_text() for text in figure.texts]
    assert any(head.endswith("…") and head.startswith("www") for head in heads)


def test_a_long_name_is_cut_in_a_few_steps_to_as_much_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    widths, looked = image_grid._width, list[str]()

    def width(text: str, size: float) -> float:
        looked.append(text)
        return widths(text, size)

    name = "abcdefghij" * 24
    whole = next(n for n in range(1, 240) if widths(name[: n + 1] + "…", 10) > 1)
    monkeypatch.setattr(image_grid, "_width", width)
    assert image_grid._fitted(name, 1, 10) == name[:whole] + "…"
    assert len(looked) < 12
    assert image_grid._fitted("short", 1, 10) == "short"
    assert image_grid._fitted(name, 0, 10) == "…"


@pytest.mark.filterwarnings("error")
def test_long_names_leave_room_for_a_diagram() -> None:
    assert png(Counts("says", "says", ["x" * 240, "y" * 200], {"student": torch.eye(2).long()}), "title")


def test_a_name_with_dollars_is_no_formula() -> None:
    names = ["$\\frac$", "US$ and $"]
    figure = grid_figure(ImageGrid({"a": torch.zeros(2, 1, 8, 8)}, names), "title")
    figure.draw_without_rendering()
    assert png(Counts("says", "says", names, {"$x$": torch.eye(2).long()}), "title")


def test_a_grid_of_noise_is_no_larger_than_is_allowed() -> None:
    content = png(ImageGrid({f"row {i}": torch.rand(4, 3, 192, 192) for i in range(4)}), "noise")
    assert len(content) <= MOST_BYTES
    with Image.open(BytesIO(content)) as image:
        assert image.width > 200


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_figure_can_be_described_and_is_the_same_every_time(task_of: TaskOf, name: str) -> None:
    found, again = (panels(task_of(name), "one", "other") for _ in range(2))
    assert all("other" in alternative_text(panel) for panel in found.values())
    last = list(found)[-1]  # none takes long, and all are drawn alike
    assert png(found[last], "title") == png(again[last], "title")


def test_reliability_is_accuracy_by_confidence_and_its_error_is_that_of_the_metric(task_of: TaskOf) -> None:
    task = task_of("classification")
    model = read_only(initial(task, "student", 0))
    panel = task.figures({"student": model})["reliability"]
    assert isinstance(panel, Lines)
    confidence, accuracy, weight = (torch.tensor(values) for values in panel.of["student"])
    assert weight.sum() == pytest.approx(1)
    metrics = task.evaluate(model, model).metrics
    assert 100 * float((weight * accuracy).sum()) == pytest.approx(metrics["accuracy"])
    assert 100 * float((weight * (confidence - accuracy).abs()).sum()) == pytest.approx(metrics["ece"], abs=1e-3)


def test_confusion_counts_every_answer_beside_the_teachers(task_of: TaskOf) -> None:
    task = task_of("classification")
    models = {role: read_only(initial(task, role, 0)) for role in ("teacher", "student")}  # type: ignore[arg-type]
    panel = task.figures(models)["confusion"]
    assert isinstance(panel, Counts)
    counts = panel.of["student"]
    evaluation = task.evaluate(models["student"], models["teacher"])
    assert counts.sum() == len(task.splits.test)
    assert 100 * counts.diag().sum() / counts.sum() == pytest.approx(evaluation.metrics["teacher_agreement"])


def test_a_walk_in_the_middle_of_an_unused_dimension_changes_nothing(task_of: TaskOf) -> None:
    """And along a used one it does: the pictures of a walk are not all the same."""
    walks = shown(task_of("vae"), "traversals").rows["teacher"].unflatten(0, (3, 7))
    assert (walks.std(1).amax((1, 2, 3)) > 0).all()


def test_the_picture_and_the_detail_are_where_the_methods_differ() -> None:
    flat = torch.full((1, 1, 40, 60), 0.5)
    spot = flat.clone()
    spot[..., 20:25, 40:45] = 1.0
    assert most_different([[flat, flat], [flat, spot], [flat, flat]]) == 1
    grid = comparison({"input": flat, "one": flat, "other": spot, "truth": flat}, ["one", "other"], "truth", "x.png")
    detail = grid.rows["detail"]
    assert float(detail[2].max()) == 1.0
    assert (detail[0, :, :, 10:50] == 0.5).all()
    assert len(grid.rows[f"error × {AMPLIFIED}"]) == 3

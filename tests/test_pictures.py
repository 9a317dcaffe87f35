"""Picture grids: what each task shows, and that it can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TASK_NAMES
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from bench.report.pictures import MOST_BYTES, arrange, draw
from bench.training import initial
from tasks.base import Pictures, Task, read_only
from tasks.metrics.images import psnr
from tasks.super_resolution import AMPLIFIED

TaskOf = Callable[[str], Task]


def shown(task: Task) -> Pictures:
    return task.pictures({role: read_only(initial(task, role, 0)) for role in ("teacher", "student")})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_nothing_overlaps_and_nothing_is_cut_off(task_of: TaskOf, name: str) -> None:
    pictures = shown(task_of(name))
    assert list(pictures.rows)[-2:] == ["teacher", "student"]
    figure = arrange(pictures, f"{name}, some_pair, seed 0")
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
        Pictures(rows, ["x", "y", "z"])
    with pytest.raises(ValueError, match="3 captions for the 2 pictures of 'a'"):
        Pictures(rows, captions={"a": ["1", "2", "3"]})
    with pytest.raises(ValueError, match="captions for the row 'b', which is not there"):
        Pictures(rows, captions={"b": ["1"]})


def test_what_is_too_long_for_its_place_is_cut_to_it(tmp_path: Path) -> None:
    figure = arrange(Pictures({"a": torch.zeros(4, 1, 8, 8)}, ["w" * 200, "b", "c", "d"]), "title")
    heads = [text.get_text() for text in figure.texts]
    assert any(head.endswith("…") and head.startswith("www") for head in heads)


def test_a_grid_of_noise_is_no_larger_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    draw(path, Pictures({f"row {i}": torch.rand(4, 3, 192, 192) for i in range(6)}), "noise")
    assert path.stat().st_size <= MOST_BYTES
    with Image.open(path) as image:
        assert image.width > 200

"""Figures of images in a grid: names of rows on the left, heads above, captions beneath; places are in inches."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import groupby
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from torch import Tensor

from distillbench.common.text import matplotlib_text
from distillbench.tasks.figures.kinds import ImageGrid

IMAGE_PIXELS = ((4, 144), (12, 128), (10**9, 56))
"""Width of an image, by the largest number of columns for which it holds."""
GAP = 0.07
"""Inches between two images."""
TITLE, TEXT, SMALL = 12, 10, 9
"""Sizes of fonts in points."""
DPI = 100


def grid_figure(grid: ImageGrid, title: str) -> Figure:
    """Draw images in a grid.

    Args:
        grid: The images and their texts.
        title: Above the figure.
    """
    drawing = _GridDrawing(grid, title)
    drawing.write(GAP, GAP, title, TITLE, va="top", weight="bold")
    drawing.draw_heads()
    drawing.draw_rows()
    drawing.write(GAP, drawing.height - GAP, grid.note, SMALL, color="0.3")
    return drawing.figure


class _GridDrawing:
    """The layout of a grid, and the figure that is drawn into it.

    Attributes:
        image_width: Of an image on the page; so ``image_height``.
        left: Where images start, beside the names of rows.
        top: Where images start, below title and heads.
        caption_height: By row.
        width: Of the figure; so ``height``.
    """

    def __init__(self, grid: ImageGrid, title: str) -> None:
        first = next(iter(grid.rows.values()))
        pixels = next(size for most, size in IMAGE_PIXELS if grid.columns <= most)
        enlarged = max(1, pixels // first.shape[3])  # by whole numbers: every pixel is a square
        self.grid = grid
        self.image_width = min(pixels, enlarged * first.shape[3]) / DPI
        self.image_height = self.image_width * first.shape[2] / first.shape[3]
        self.left = _whole(max(_width(name, TEXT) for name in grid.rows) + 3 * GAP)
        self.top = _whole((TITLE + (TEXT if grid.heads else 0)) / 72 + (6 if grid.heads else 3) * GAP)
        self.caption_height = {name: _whole(SMALL / 72 + GAP) if name in grid.captions else 0.0 for name in grid.rows}
        texts = (_width(text, size) + 2 * GAP for text, size in ((title, TITLE), (grid.note, SMALL)))
        self.width = _whole(max(self._column(grid.columns), *texts))
        rows = sum(self.image_height + self.caption_height[name] + GAP for name in grid.rows)
        self.height = self.top + rows + (_whole(SMALL / 72 + 2 * GAP) if grid.note else 0.0)
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")

    def _column(self, number: int) -> float:
        """The left side of a column."""
        return self.left + number * (self.image_width + GAP)

    def write(self, x: float, down: float, text: str, size: float, **options: Any) -> None:
        """Write a text at a distance from the left and from the top."""
        self.figure.text(x / self.width, 1 - down / self.height, text, size=size, parse_math=False, **options)

    def draw_heads(self) -> None:
        """Write each head above the columns that share it, with a line."""
        column = 0
        for head, group in groupby(self.grid.heads):
            start, end = self._column(column), self._column(column := column + len(list(group)))
            text = _fitted(head, end - start - GAP, TEXT)
            self.write((start + end - GAP) / 2, self.top - 2 * GAP, text, TEXT, ha="center")
            x, y = [start / self.width, (end - GAP) / self.width], 1 - (self.top - GAP) / self.height
            self.figure.add_artist(Line2D(x, [y, y], color="0.6", linewidth=0.6))

    def draw_rows(self) -> None:
        """Draw the rows, each with its name and captions."""
        down = self.top
        for name, images in self.grid.rows.items():
            self.write(self.left - GAP, down + self.image_height / 2, name, TEXT, ha="right", va="center")
            for column, image in enumerate(images):
                self._draw_image(self._column(column), down, image)
            for column, caption in enumerate(self.grid.captions.get(name, ())):
                middle, below = self._column(column) + self.image_width / 2, down + self.image_height + GAP / 2
                self.write(middle, below, _fitted(caption, self.image_width, SMALL), SMALL, ha="center", va="top")
            down += self.image_height + self.caption_height[name] + GAP

    def _draw_image(self, x: float, down: float, image: Tensor) -> None:
        """Draw an image (channels, height, width) in [0, 1]."""
        width, height = self.image_width / self.width, self.image_height / self.height
        axes = self.figure.add_axes((x / self.width, 1 - (down + self.image_height) / self.height, width, height))
        axes.set_axis_off()
        pixels = image.permute(1, 2, 0).squeeze(-1 if image.shape[0] == 1 else ()).clamp(0, 1)
        axes.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=1, aspect="auto")


def _whole(inches: float) -> float:
    """Round up to whole pixels: an image between two would be blurred."""
    return math.ceil(inches * DPI) / DPI


def _width(text: str, size: float) -> float:
    """The width of a text in inches, in the default font."""
    if not text.strip():
        return 0.0
    return TextPath((0, 0), matplotlib_text(text), size=size).get_extents().width / 72


def _fitted(text: str, inches: float, size: float) -> str:
    """A text, shortened to its place."""
    if len(text) < 2 or _width(text, size) <= inches:
        return text
    lengths = range(1, len(text))
    return text[: bisect(lengths, inches, key=lambda length: _width(text[:length] + "…", size))] + "…"

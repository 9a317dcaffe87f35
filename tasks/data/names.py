"""Which files are pictures, by their names."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})


def hidden(name: str) -> bool:
    """What systems leave in folders and nobody sees: .ipynb_checkpoints, ._001.png, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def is_picture(name: str) -> bool:
    return name[name.rfind(".") :].lower() in SUFFIXES


def pictures(folder: Path) -> list[Path]:
    """Those that lie in the folder itself, by name; none where there is no such folder. Hidden ones are none."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if is_picture(path.name) and not hidden(path.name))

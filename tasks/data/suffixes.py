"""Which files are pictures, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from distillbench.common.errors import DataError

USUAL = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})
"""Suffixes that Pillow need not be asked for, which takes a moment."""
NO_PICTURES = frozenset(["BUFR", "CUR", "EPS", "FITS", "FLI", "GRIB", "HDF5", "ICNS", "ICO", "IPTC", "MPEG", "WMF"])
"""Formats with suffixes of Pillow's: icons, films, measurements, and what only other programs can draw."""
LEFTOVERS = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "lost+found",
    }
    | {"$recycle.bin", "system volume information", "thumbs.db", "desktop.ini", "icon\r"}
    | {"network trash folder", "temporary examples"}
)
"""What systems and network storage leave in folders, in small letters."""


@lru_cache(maxsize=1)
def suffixes() -> frozenset[str]:
    """Of all pictures that this Pillow reads."""
    from PIL import Image

    known = Image.registered_extensions().items()
    return USUAL | {suffix for suffix, kind in known if kind in Image.OPEN and kind not in NO_PICTURES}


def hidden(name: str) -> bool:
    """What systems leave in folders and nobody sees: .ipynb_checkpoints, ._001.png, __MACOSX, @eaDir."""
    return name.startswith(".") or name.lower() in LEFTOVERS


def is_picture(name: str) -> bool:
    suffix = name[name.rfind(".") :].lower()
    return suffix in USUAL or (suffix.startswith(".") and suffix in suffixes())


def pictures(folder: Path) -> list[Path]:
    """Those that lie in the folder itself, by name; none where there is no such folder. Hidden ones are none."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if is_picture(path.name) and not hidden(path.name))


def check_readable(where: str, names: Iterable[str], field: str = "") -> None:
    """Raise DataError for a name that no record can hold. where: what holds the names. field: the setting, if known."""
    for name in names:
        if not name.isascii() and os.fsencode(name).decode(errors="replace") != name:
            shown = os.fsencode(name).decode(errors="backslashreplace")
            raise DataError(f"{where}: the name {shown} is no UTF-8; rename it", field=field)

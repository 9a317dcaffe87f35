"""Untrusted text, from records and names of folders, made harmless for each format.

``visible`` comes first, everywhere: what remains is short, on one line, and has nothing in it that cannot be seen. Each
format then takes the meaning from its own special characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATEX = {
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×10⁻³": r"$\times 10^{-3}$",
    "×": r"$\times$",
    "σ": r"$\sigma$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIAL = re.compile("|".join(map(re.escape, LATEX)))  # the longer before its beginning
LONGEST = 200
"""Characters of a name or a reason that are shown; of a longer one its beginning and …"""
LONGEST_NOTE = 2000
"""Characters of a note, which may quote several names, each of them shortened before."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of characters without a form: controls, marks of direction, surrogates, line ends."""
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""Characters that begin a formula in a spreadsheet, in full width as well."""
MARKS = 2
"""Accents on one letter that are shown: dozens would cover the lines above and below."""

_ENTITIES = {character: f"&#{ord(character)};" for character in "\\|<>&[]`$@"}
"""The most powerful special characters of Markdown, as entities, which no dialect takes for special characters."""
_MARKDOWN = re.compile(r"[*~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|^[#+=-]|^\d+[.)](?=\s|$)", re.IGNORECASE)
"""The other special characters: of emphasis, of bare links, and those that begin a heading or a list."""
_NO_LETTER = re.compile(f"×10⁻³|[^\x20-\x7e\xa1-\xff…–—‘’“”{''.join(c for c in LATEX if len(c) == 1 and c > '~')}]")
"""LaTeX's usual encoding has Latin letters with their accents; others have a command (``LATEX``), or none."""


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence: 'a, b and c', and of very many 'a, b and 12 more'."""
    shown = names if len(names) <= most else [*names[:most], f"{len(names) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def visible(text: str, longest: int = LONGEST) -> str:
    """The text as one line without invisible characters: U+202E is written \\u202e. Applied twice it changes nothing.

    Args:
        text: from anywhere.
        longest: the number of characters to keep; a longer text ends with '…'.
    """
    characters: list[str] = []
    length = marks = 0
    for character in text[: longest + 1]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        form = _code(character) if category in UNSEEN or marks > MARKS else character
        length += len(form)
        if length > longest:
            return "".join(characters) + "…"
        characters.append(form)
    return "".join(characters)


def _code(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def markdown(text: str) -> str:
    """Text for a cell, a heading or a list in Markdown, of any dialect: no link, no tag, no emphasis, no column."""
    marked = _MARKDOWN.sub(
        lambda match: f"{match[0][:-1]}\0{match[0][-1]}", visible(text, LONGEST_NOTE)
    )  # visible text has no \0
    return "".join(_ENTITIES.get(character, character) for character in marked).replace("\0", "\\")


def latex_text(text: str) -> str:
    """LaTeX that prints any text: no character of it is a command."""
    return _SPECIAL.sub(lambda match: LATEX[match[0]], text)


def latex(text: str) -> str:
    """LaTeX that prints untrusted text; a character that the usual encoding lacks is written as its number."""
    line = visible(text, LONGEST_NOTE)
    return latex_text(_NO_LETTER.sub(lambda match: match[0] if match[0] in LATEX else _code(match[0]), line))


def matplotlib_text(text: str) -> str:
    """Text for matplotlib, in which a dollar would begin a formula."""
    return text.replace("$", r"\$")


def csv(text: str) -> str:
    """Text for a cell of CSV; an apostrophe keeps a spreadsheet from taking it for a formula."""
    line = visible(text, LONGEST_NOTE)
    return f"'{line}" if line.startswith(FORMULA) or text.startswith(FORMULA) else line


def csv_frame(frame: pd.DataFrame, numbers: str = "%.6g") -> str:
    """A frame as CSV, its texts and headings made harmless. numbers: the format of floating-point numbers."""
    safe = frame.map(lambda value: csv(value) if isinstance(value, str) else value)
    return safe.rename(columns=lambda name: csv(str(name))).to_csv(index=False, float_format=numbers)

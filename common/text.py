"""Untrusted text: whatever comes from a record or is a folder's name, made harmless for each format.

``visible`` comes first, everywhere: what remains is short, on one line, and has nothing in it that cannot be seen. Each
format then takes the meaning from its own special characters.
"""

from __future__ import annotations

import re
import unicodedata
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
"""Of a note, which may quote several names, each of them shortened before."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what has no form of its own: controls, marks of direction, halves of pairs, line ends."""
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet takes for the beginning of a formula, in full width as well."""
MARKS = 2
"""Accents on one letter that are shown: dozens would cover the lines above and below."""

_ENTITIES = {character: f"&#{ord(character)};" for character in "\\|<>&[]`$@"}
"""Of Markdown's special characters those that mean most, written so that no dialect can take them for themselves."""
_MARKDOWN = re.compile(r"[*~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|^[#+=-]|^\d+[.)](?=\s|$)", re.IGNORECASE)
"""The others: emphasis, what would be a link without being marked as one, and what begins a heading or a list."""
_NO_LETTER = re.compile(f"×10⁻³|[^\x20-\x7e\xa1-\xff…–—‘’“”{''.join(c for c in LATEX if len(c) == 1 and c > '~')}]")
"""LaTeX's usual encoding has Latin letters with their accents; others have a command (``LATEX``), or none."""


def visible(text: str, longest: int = LONGEST) -> str:
    """One line, of which all can be seen: U+202E is written \\u202e. Harmless again is the same."""
    found: list[str] = []
    length = marks = 0
    for character in text[: longest + 1]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        shown = _code(character) if category in UNSEEN or marks > MARKS else character
        length += len(shown)
        if length > longest:
            return "".join(found) + "…"
        found.append(shown)
    return "".join(found)


def _code(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def markdown(text: str) -> str:
    """Text of a cell, a heading or a list, on GitHub and elsewhere: no link, no tag, no emphasis, no column."""
    marked = _MARKDOWN.sub(
        lambda found: f"{found[0][:-1]}\0{found[0][-1]}", visible(text, LONGEST_NOTE)
    )  # it has no \0 of its own
    return "".join(_ENTITIES.get(character, character) for character in marked).replace("\0", "\\")


def latex_text(text: str) -> str:
    """Any text as LaTeX that prints it: no character of it is a command."""
    return _SPECIAL.sub(lambda found: LATEX[found[0]], text)


def latex(text: str) -> str:
    """What LaTeX has no letter for in its usual encoding is written as its number."""
    shown = visible(text, LONGEST_NOTE)
    return latex_text(_NO_LETTER.sub(lambda found: found[0] if found[0] in LATEX else _code(found[0]), shown))


def matplotlib_text(text: str) -> str:
    """For matplotlib, to which a dollar may begin a formula."""
    return text.replace("$", r"\$")


def csv(text: str) -> str:
    """An apostrophe keeps a spreadsheet from computing it."""
    shown = visible(text, LONGEST_NOTE)
    return f"'{shown}" if shown.startswith(FORMULA) or text.startswith(FORMULA) else shown


def csv_frame(frame: pd.DataFrame, numbers: str = "%.6g") -> str:
    """A frame as CSV, its texts and headings made harmless. numbers: how they are written."""
    safe = frame.map(lambda value: csv(value) if isinstance(value, str) else value)
    return safe.rename(columns=lambda name: csv(str(name))).to_csv(index=False, float_format=numbers)

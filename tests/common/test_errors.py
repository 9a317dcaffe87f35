"""The text of a user's mistake is made from its fields, in one place."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from distillbench.common.errors import DataError, UserError, check_name


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("a whole line"), "a whole line"),
        (UserError("is empty", "--out"), "--out: is empty"),
        (UserError("missing", Path("a.toml"), "tasks"), "a.toml: tasks: missing"),
        (UserError("0 is too few", field="steps", allowed="1 and more"), "steps: 0 is too few (allowed: 1 and more)"),
        (
            UserError("no 'gann'", allowed=("gan", "vae"), name="gann"),
            "no 'gann'; did you mean 'gan'? (allowed: gan, vae)",
        ),
        (UserError("no 'x'", allowed=("gan", "vae"), name="x"), "no 'x' (allowed: gan, vae)"),
        (
            UserError("unknown key", allowed=("test", "validation"), name="held_out"),
            "unknown key; it is called 'validation' now (allowed: test, validation)",
        ),
        (UserError("two\nlines, \udcff", "\udcff.png"), r"\udcff.png: two lines, \udcff"),
    ],
)
def test_the_text_is_made_from_the_fields(error: UserError, text: str) -> None:
    assert str(error) == text


def test_from_further_out_an_error_names_what_holds_it() -> None:
    error = DataError("is not a folder", field="data", allowed="a folder")
    outer = error.within("mine.toml", "tasks.gan")
    assert isinstance(outer, DataError)
    assert str(outer) == "mine.toml: tasks.gan.data: is not a folder (allowed: a folder)"
    assert str(outer.within("results")) == f"results: {outer}"
    assert (error.where, error.field) == ("", "data")


def test_fields_go_along_to_another_process() -> None:
    error = UserError("unknown", "a.toml", "tasks", allowed=("gan",), name="gann")
    copy: Any = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    check_name("task", "gan", ["vae", "gan"])
    with pytest.raises(UserError) as refused:
        check_name("task", "gann", ["vae", "gan"], "--tasks")
    assert str(refused.value) == "--tasks: unknown task 'gann'; did you mean 'gan'? (allowed: gan, vae)"

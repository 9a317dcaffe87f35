"""Templates, and the files that every page needs. Untrusted text is made visible and escaped here, for all pages."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from distillbench.bench.report.chart import HeatMapCell
from distillbench.common.text import LONGEST_NOTE, visible

Files = dict[str, bytes]
"""The files of a site: {path: content}."""


def slug(text: str) -> str:
    """A file name for any text: the text itself where it is harmless."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", text) else sha256(text.encode()).hexdigest()[:16]


def renderer(names: Mapping[str, str], origin: str) -> Any:
    """The function that fills templates.

    Args:
        names: {task: file name without its suffix}, for the navigation.
        origin: Where the content is from; stands at the end of every page.

    Returns:
        A function (template, the page's key among ``names``, title, values of the template) -> HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("distillbench.bench.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: shown(value) if isinstance(value, str) else value,
    )
    environment.filters |= {"shade": _shade, "slug": slug}
    environment.globals |= {"zip": zip}

    def render(template: str, here: str, title: str, **context: Any) -> bytes:
        text = environment.get_template(template).render(here=here, title=title, names=names, origin=origin, **context)
        return text.encode()

    return render


def shown(text: str) -> str:
    """Text of which all is visible, and not too long; markup is left as it is."""
    return text if isinstance(text, Markup) else visible(text, LONGEST_NOTE)


def _shade(cell: HeatMapCell) -> str:
    """A class of page.css; what is not significant is pale."""
    if cell.value is None:
        return "none"
    size = 0 if not cell.significant else 1 if abs(cell.value) < 0.25 else 2 if abs(cell.value) < 0.6 else 3
    return f"{'gain' if cell.value >= 0 else 'loss'}-{size}"


def script(name: str, content: bytes) -> bytes:
    """A script that hands over packed content: on a file system a page may load scripts and nothing else."""
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f"distillbench({json.dumps(name)},{json.dumps(packed)});\n".encode()


def _installed(package: str) -> Path:
    """The folder of a package, which is not imported: itables would ask for a home folder."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def assets() -> Files:
    """The style sheet and scripts of every page, with plotly.js and DataTables from the packages plotly and itables."""
    own, tables = files("distillbench.bench.report.page") / "static", _installed("itables") / "html"
    plotly = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return {
        "assets/page.css": (own / "page.css").read_bytes(),
        "assets/page.js": (own / "page.js").read_bytes(),
        "assets/tables.css": (tables / "dt_bundle.css").read_bytes(),
        "assets/tables.js": _classic((tables / "dt_bundle.js").read_text(encoding="utf-8")).encode(),
        "assets/plotly.packed.js": script("plotly", plotly),
    }


def _classic(module: str) -> str:
    """A JavaScript module as a classic script: on a file system a browser loads no modules."""
    export = re.search(r"export\{([^}]*)\};?", module)
    if export is None:
        raise RuntimeError("itables: its bundle exports nothing")
    pairs = [part.split(" as ") for part in export.group(1).split(",")]
    names = ",".join(f"{json.dumps(name)}:{value}" for value, name in pairs)
    body = module[: export.start()] + f"window.distillbenchTables={{{names}}};" + module[export.end() :]
    return f"(()=>{{{body}\n}})();\n"

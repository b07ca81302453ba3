"""Fills the templates of this folder; the pages they make need no other file."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2

_PACKAGE = "models.cascade.report"


def render_page(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: Name of a template of this folder.
        values: What it shows; a name it needs and does not get is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(css=_read("report.css"), **values)


def _read(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")

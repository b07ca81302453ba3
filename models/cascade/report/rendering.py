"""Fills the templates of this folder; the pages they make need no other file."""

from __future__ import annotations

from importlib import resources
from typing import Any
from xml.sax.saxutils import escape

import jinja2
from markupsafe import Markup

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


def standalone_svg(picture: Markup) -> str:
    """Return a picture as a file of its own, with the pages' colours, light and dark."""
    style = (
        _read("report.css")
        + "svg { font-family: system-ui, sans-serif; background: var(--paper); }"
    )
    head, body = str(picture).split(">", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><style>{escape(style)}</style>{body}\n"


def _read(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")

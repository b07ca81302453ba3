"""One self-contained report page made of sections: no other file, no request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bicameral.charts import Figure
from bicameral.tables import Table, html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure in large print at the top of a page."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Blocks behind a summary that opens them."""

    summary: str
    blocks: Sequence[Block]
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Blocks beside each other, as many as fit."""

    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text as it is: a command, settings."""

    text: str


#: What a section is made of; a text is a paragraph, markup stands as it is.
Block = str | Markup | Table | Figure | Folded | SideBySide | Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        title: Heading.
        lead: What was done, in a sentence or two.
        sentences: What came of it, the most important first.
        tiles: Figures in large print.
        notes: What a reader must know before believing it.
        sections: The rest.
        script: Trusted JavaScript, put at the end; data belong in JSON script elements.
        css: Rules of this page alone.
    """

    title: str
    lead: str
    sentences: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()
    script: str = ""
    css: str = ""


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["block"] = _html
    environment.filters["anchor"] = anchor
    template = environment.from_string(_read("page.html"))
    return template.render(page=page, css=Markup(_read("page.css") + page.css))  # noqa: S704 - ours


def anchor(title: str) -> str:
    """Return the name by which a section is linked to."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def picture(image: NDArray[np.uint8], alt: str) -> Markup:
    """Return a picture as an element of a page.

    Args:
        image: (H, W) grey or (H, W, 3) RGB, uint8.
        alt: What it shows, for screen readers.
    """
    import cv2

    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    content = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode("ascii")
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(content, alt)


def _html(block: Block) -> Markup:
    match block:
        case Markup():
            return block
        case str():
            return Markup("<p>{}</p>").format(block)
        case Code():
            return Markup('<pre class="wrapped">{}</pre>').format(block.text)
        case Table():
            note = Markup("<p>{}</p>").format(block.note) if block.note else Markup("")
            return note + Markup(html_table(block))  # noqa: S704 - escaped there
        case Figure():
            return _figure(block)
        case Folded():
            state = Markup(" open") if block.open else Markup("")
            inside = Markup("").join(map(_html, block.blocks))
            return Markup("<details{}><summary>{}</summary>{}</details>").format(
                state, block.summary, inside
            )
        case SideBySide():
            inside = Markup("").join(map(_html, block.blocks))
            return Markup('<div class="row">{}</div>').format(inside)


def _figure(figure: Figure) -> Markup:
    caption = Markup("<figcaption>{}</figcaption>").format(figure.caption)
    numbers = Markup("")
    if figure.table is not None:
        numbers = _html(Folded(summary=f"{figure.title} in numbers", blocks=[figure.table]))
    return Markup(
        '<figure><h3>{}</h3><div class="scroll" tabindex="0" role="region" aria-label="{}">{}</div>'
        "{}{}</figure>"
    ).format(
        figure.title,
        figure.title,
        Markup(figure.svg),  # noqa: S704 - drawn by bicameral.charts
        caption if figure.caption else "",
        numbers,
    )


def _read(name: str) -> str:
    return resources.files("bicameral").joinpath(name).read_text(encoding="utf-8")

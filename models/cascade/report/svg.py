"""Elements of inline SVG: escaped by the XML writer, coloured by the page's style sheet."""

from __future__ import annotations

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

#: Classes of the style sheet that set the colour of what they hold.
Ink = Literal["a", "b", "cascade", "reference", "little", "paper", "plain", "soft"]

MarkName = Literal["circle", "ring", "square", "diamond", "star", "cross"]

#: Where there is less room than this, a picture is scrolled instead of shrunk further.
_LEAST_SCALE = 0.72

#: Unit outlines of marks that are no circle.
_OUTLINES: dict[MarkName, tuple[tuple[float, float], ...]] = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "diamond": ((0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)),
    "star": (
        (0.0, -1.6), (0.38, -0.52), (1.52, -0.49), (0.61, 0.2), (0.94, 1.29),
        (0.0, 0.64), (-0.94, 1.29), (-0.61, 0.2), (-1.52, -0.49), (-0.38, -0.52),
    ),
}  # fmt: skip


def picture(name: str, size: tuple[float, float], title: str, description: str) -> Element:
    """Return an empty SVG that a screen reader announces.

    Args:
        name: Unique on the page; letters, digits and dashes.
        size: Width and height in pixels at full size.
        title: What it is.
        description: What it shows, in a sentence.
    """
    width, height = size
    svg = Element(
        "svg",
        {
            "viewBox": f"0 0 {width:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-description",
            "style": f"max-width:{width:g}px;min-width:{_LEAST_SCALE * width:g}px",
        },
    )
    SubElement(svg, "title", {"id": f"{name}-title"}).text = title
    SubElement(svg, "desc", {"id": f"{name}-description"}).text = description
    return svg


def finished(svg: Element) -> Markup:
    """Return the markup of a picture."""
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - the writer escapes


def group(parent: Element, ink: Ink) -> Element:
    """Add a group that is drawn in one colour."""
    return SubElement(parent, "g", {"class": f"ink-{ink}"})


def text(parent: Element, at: tuple[float, float], content: str, **attributes: str) -> Element:
    """Add a text; underscores in the names of attributes become dashes."""
    element = SubElement(
        parent,
        "text",
        {"x": number(at[0]), "y": number(at[1])}
        | {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()},
    )
    element.text = content
    return element


def path(parent: Element, points: list[tuple[float, float]], css: str, *, close: bool) -> Element:
    """Add straight lines through points."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return SubElement(parent, "path", {"class": css, "d": f"M{steps}{'Z' if close else ''}"})


def mark(parent: Element, name: MarkName, at: tuple[float, float], radius: float) -> Element:
    """Add the mark of one point."""
    x, y = at
    if name == "cross":
        arm = 0.9 * radius
        element = SubElement(parent, "path", {"class": "stroke"})
        element.set(
            "d",
            f"M{number(x - arm)} {number(y - arm)}L{number(x + arm)} {number(y + arm)}"
            f"M{number(x - arm)} {number(y + arm)}L{number(x + arm)} {number(y - arm)}",
        )
        return element
    if name in ("circle", "ring"):
        css = "fill" if name == "circle" else "ring"
        return SubElement(
            parent,
            "circle",
            {"class": css, "cx": number(x), "cy": number(y), "r": number(radius)},
        )
    outline = [(x + radius * dx, y + radius * dy) for dx, dy in _OUTLINES[name]]
    return path(parent, outline, "fill", close=True)


def tooltip(element: Element, content: str) -> None:
    """Show a text while the pointer rests on an element."""
    if content:
        SubElement(element, "title").text = content


def number(value: float) -> str:
    """Write a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")

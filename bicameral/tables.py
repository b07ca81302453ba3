"""One table, for the terminal, a page, Markdown and CSV; and one way to write each quantity.

Rooms hand over rows of text; nobody else lays out a table.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TypeVar

from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from bicameral.statistics import Estimate

#: Stands where there was nothing to measure.
DASH = "–"

_Item = TypeVar("_Item")

_PREFIXES = ("", "k", "M", "G", "T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, what it means, and whether the column holds words (then it is left-aligned)."""

    label: str
    help: str = ""
    words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, what stands after it in smaller print, and its colour.

    `style` is a style of rich and is shown on terminals only.
    """

    text: str
    small: str = ""
    style: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.small}".strip()


#: What may stand in a row; None becomes a dash.
Entry = str | Cell | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells, and whether the row stands out."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: Heading, and what a screen reader announces.
        columns: Headings.
        rows: The rows.
        note: How to read it.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def columns(*entries: str | Column, words: int = 1) -> tuple[Column, ...]:
    """Return columns from labels, ``label|help``, or columns; the first `words` hold words."""
    made = []
    for number, entry in enumerate(entries):
        if isinstance(entry, str):
            label, _, help_text = entry.partition("|")
            entry = Column(label=label, help=help_text, words=number < words)
        made.append(entry)
    return tuple(made)


def row(*entries: Entry, marked: bool = False) -> Row:
    """Return a row of texts, cells and whole numbers; None becomes a dash."""
    return Row(cells=tuple(_cell(entry) for entry in entries), marked=marked)


def table_of(
    title: str,
    heads: Iterable[str | Column],
    rows: Iterable[Iterable[Entry] | Row],
    *,
    words: int = 1,
    note: str = "",
) -> Table:
    """Return a table of headings as `columns` takes them, and of rows of what `row` takes."""
    return Table(
        title=title,
        columns=columns(*heads, words=words),
        rows=tuple(one if isinstance(one, Row) else row(*one) for one in rows),
        note=note,
    )


def list_table(
    title: str,
    items: Iterable[_Item],
    fields: Mapping[str, Callable[[_Item], Entry]],
    *,
    words: int = 1,
    marked: Callable[[_Item], bool] | None = None,
) -> Table:
    """Return a table of one row an item.

    Args:
        title: Of the table.
        items: What the rows are about.
        fields: What to show of an item, by ``label`` or ``label|help``.
        words: As many of the first fields hold words.
        marked: Which rows stand out.
    """
    rows = (
        row(*(show(item) for show in fields.values()), marked=marked is not None and marked(item))
        for item in items
    )
    return table_of(title, fields, rows, words=words)


def facts_table(title: str, facts: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values."""
    return table_of(title, ("what", "value"), facts, words=2)


def _cell(entry: Entry) -> Cell:
    if isinstance(entry, Cell):
        return entry
    return Cell(text=DASH if entry is None else str(entry))


def narrowed(table: Table, *labels: str) -> Table:
    """Keep the columns with these labels, for a terminal; words lose their small print."""
    kept = [place for place, column in enumerate(table.columns) if column.label in labels]

    def cell(entry: Row, place: int) -> Cell:
        whole = entry.cells[place]
        return replace(whole, small="") if table.columns[place].words else whole

    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(
            replace(entry, cells=tuple(cell(entry, place) for place in kept))
            for entry in table.rows
        ),
    )


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table on the terminal; outside of one it is as wide as it needs to be."""
    console = console or Console(stderr=False)
    drawn = RichTable(title=table.title or None, title_justify="left", header_style="bold")
    for column in table.columns:
        justify: JustifyMethod = "left" if column.words else "right"
        drawn.add_column(column.label, justify=justify, overflow="fold")
    for entry in table.rows:
        texts = [Text(str(cell), style=cell.style) for cell in entry.cells]
        drawn.add_row(*texts, style="bold" if entry.marked else None)
    if not console.is_terminal:
        console = Console(file=console.file, width=max(console.width, 240))
    console.print(drawn)
    if table.note:
        console.print(Text(table.note, style="dim"))


def html_table(table: Table) -> str:
    """Return a table as HTML; headings show their help while the pointer rests on them."""
    head = "".join(
        f'<th scope="col"{_words(column)}'
        + (f' title="{escape(column.help)}"' if column.help else "")
        + f">{escape(column.label)}</th>"
        for column in table.columns
    )
    body = "\n".join(_html_row(table, entry) for entry in table.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _html_row(table: Table, entry: Row) -> str:
    cells = []
    for cell, column in zip(entry.cells, table.columns, strict=True):
        small = f" <small>{escape(cell.small)}</small>" if cell.small else ""
        cells.append(f"<td{_words(column)}>{escape(cell.text)}{small}</td>")
    marked = ' class="marked"' if entry.marked else ""
    return f"<tr{marked}>{''.join(cells)}</tr>"


def _words(column: Column) -> str:
    return ' class="words"' if column.words else ""


def markdown_table(table: Table) -> str:
    """Return a table as Markdown, without its title."""
    lines = [
        _markdown_line(column.label for column in table.columns),
        "|" + "|".join("---" if column.words else "--:" for column in table.columns) + "|",
    ]
    for entry in table.rows:
        texts = [str(cell) for cell in entry.cells]
        lines.append(
            _markdown_line(f"**{text}**" if entry.marked and text else text for text in texts)
        )
    return "\n".join(lines) + "\n"


def _markdown_line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a tidy CSV: a measurement a row, full precision, an empty field for None."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for values in rows:
        writer.writerow(["" if value is None else value for value in values])
    return buffer.getvalue()


# Quantities ---------------------------------------------------------------------------------------


def estimate_cell(
    estimate: Estimate | None, digits: int = 2, *, factor: float = 1.0, signed: bool = False
) -> Cell:
    """Write an estimate times a factor, with its interval in smaller print; a dash if invalid."""
    if estimate is None or estimate.value is None:
        return Cell(text=DASH)

    def show(value: float) -> str:
        text = f"{value * factor:{'+' if signed else ''}.{digits}f}"
        return text[1:] if signed and float(text) == 0.0 else text

    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"[{show(estimate.low)}, {show(estimate.high)}]"
    return Cell(text=show(estimate.value), small=interval)


def percent_cell(estimate: Estimate | None, digits: int = 2) -> Cell:
    """Write a share with its interval in percent."""
    return estimate_cell(estimate, digits, factor=100.0)


def points_cell(estimate: Estimate | None, digits: int = 2) -> Cell:
    """Write a difference of two shares with its interval in percentage points, with signs."""
    return estimate_cell(estimate, digits, factor=100.0, signed=True)


def percent(share: float | None, digits: int = 2) -> str:
    """Write a share 0..1 in percent, without the sign."""
    return DASH if share is None else f"{100.0 * share:.{digits}f}"


def points(difference: float, digits: int = 2) -> str:
    """Write a difference of two shares in percentage points, with its sign."""
    text = f"{100.0 * difference:+.{digits}f}"
    return text[1:] if float(text) == 0.0 else text


def integer(value: float) -> str:
    """Write a count with separated thousands."""
    return f"{value:,.0f}"


def magnitude(value: float | None) -> str:
    """Write a positive number with three digits and a prefix of a thousand: 2.36 M."""
    if value is None:
        return DASH
    rounded = float(f"{value:.3g}")
    if rounded < 1.0:
        return f"{rounded:g}"
    exponent = min(math.floor(math.log10(rounded)) // 3, len(_PREFIXES) - 1)
    return f"{rounded / 1000.0**exponent:.3g} {_PREFIXES[exponent]}".strip()


def microseconds(value: float | None) -> str:
    """Write a time in microseconds with about three digits, or a dash."""
    if value is None:
        return DASH
    return f"{value:.1f}" if value < 100.0 else f"{value:,.0f}"


def ratio(value: float | None) -> str:
    """Write a ratio in percent, with the sign, or a dash."""
    if value is None:
        return DASH
    return f"{100.0 * value:.{1 if value < 1.0 else 0}f} %"

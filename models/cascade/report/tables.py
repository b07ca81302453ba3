"""Tables of a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and what it means."""

    label: str
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, what stands after it in smaller print, and how many columns it takes."""

    text: str
    small: str = ""
    span: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells, and whether the row stands out."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: For screen readers, and the heading of a table that can be folded.
        columns: Headings; the first `words` of them hold words and are aligned to the left.
        rows: The rows.
        words: Columns of words.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    words: int = 1


def row(*texts: str | Cell, marked: bool = False) -> Row:
    """Return a row of texts and cells."""
    cells = (Cell(text=entry) if isinstance(entry, str) else entry for entry in texts)
    return Row(cells=tuple(cells), marked=marked)

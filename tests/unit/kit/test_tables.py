"""One table in four dresses, and how quantities are written."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bicameral.statistics import Estimate, share
from bicameral.tables import (
    Cell,
    Table,
    columns,
    csv_text,
    estimate_cell,
    html_table,
    magnitude,
    markdown_table,
    narrowed,
    percent_cell,
    points,
    print_table,
    row,
)

TABLE = Table(
    title="Nets & costs",
    columns=columns("network", "accuracy %|on <test> images", "MACs"),
    rows=(
        row("a|b", Cell(text="90.0", small="[80, 95]"), None),
        row("<script>", "not met", None, marked=True),
    ),
    note="How to read it.",
)


def test_markdown_aligns_words_to_the_left_and_escapes_bars() -> None:
    assert markdown_table(TABLE) == (
        "| network | accuracy % | MACs |\n"
        "|---|--:|--:|\n"
        "| a\\|b | 90.0 [80, 95] | – |\n"
        "| **<script>** | **not met** | **–** |\n"
    )


def test_html_escapes_everything_and_explains_headings() -> None:
    html = html_table(TABLE)
    assert "<script>" not in html
    assert 'title="on &lt;test&gt; images"' in html
    assert "<td>90.0 <small>[80, 95]</small></td>" in html
    assert '<tr class="marked"><td class="words">&lt;script&gt;</td><td>not met</td>' in html


def test_a_terminal_table_holds_every_cell_and_no_markup() -> None:
    buffer = io.StringIO()
    print_table(TABLE, Console(file=buffer, width=60))
    for text in ("network", "90.0 [80, 95]", "–", "not met", "How to read it."):
        assert text in buffer.getvalue()
    buffer = io.StringIO()
    print_table(Table(title="", columns=columns("x"), rows=(row("[red]"),)), Console(file=buffer))
    assert "[red]" in buffer.getvalue()


def test_a_table_in_a_pipe_is_not_folded() -> None:
    buffer = io.StringIO()
    wide = Table(title="", columns=columns("x"), rows=(row("word " * 30),))
    print_table(wide, Console(file=buffer, width=60))
    assert "word " * 29 in buffer.getvalue()


def test_csv_keeps_full_precision_and_leaves_what_is_absent_empty() -> None:
    assert csv_text(("a", "b"), [(0.1 + 0.2, None)]) == "a,b\n0.30000000000000004,\n"


def test_an_estimate_is_written_with_its_interval_if_it_has_one() -> None:
    assert str(percent_cell(share(49, 50))) == "98.00 [89.50, 99.65]"
    assert str(percent_cell(share(1, 1))) == "100.00"
    assert str(percent_cell(None)) == str(percent_cell(share(0, 0))) == "–"
    difference = Estimate(value=-0.00001, low=-0.02, high=0.02, n=3)
    assert str(estimate_cell(difference, 1, factor=100.0, signed=True)) == "0.0 [-2.0, +2.0]"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_360_000, "2.36 M"), (999.6, "1 k"), (0.5, "0.5"), (66.06e6, "66.1 M"), (None, "–")],
)
def test_magnitudes_have_three_digits(value: float | None, text: str) -> None:
    assert magnitude(value) == text


def test_points_have_a_sign_and_zero_has_none() -> None:
    assert [points(0.012), points(-0.012), points(-1e-9)] == ["+1.20", "-1.20", "0.00"]


def test_a_narrowed_table_keeps_its_marks_and_the_small_print_of_numbers() -> None:
    wide = Table(
        title="t",
        columns=columns("name", "how", "x", "y", words=2),
        rows=(
            row(Cell(text="a", small="family"), "so", Cell(text="1", small="± 2"), "3"),
            row("b", "not met", None, "4", marked=True),
        ),
    )
    assert narrowed(wide, "name", "x", "y").rows == (
        row("a", Cell(text="1", small="± 2"), "3"),
        row("b", None, "4", marked=True),
    )
    assert [column.label for column in narrowed(wide, "y", "how").columns] == ["how", "y"]

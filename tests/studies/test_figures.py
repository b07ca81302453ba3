"""Figures in README and docs come from the committed records, and from nowhere else."""

from __future__ import annotations

import pytest

from bicameral.errors import UserError
from studies.figures import FIGURES, TABLES, documents, filled, main


def test_every_marked_figure_is_what_the_records_say() -> None:
    assert main(["--check"]) == 0, "write them with: python -m studies.figures"


def test_the_readme_and_the_docs_are_looked_at() -> None:
    names = {path.name for path in documents()}
    assert {"README.md", "models.md", "cascade.md"} <= names
    marked = "".join(path.read_text("utf-8") for path in documents())
    assert all(f"<!-- figures: {name} -->" in marked for name in TABLES)
    assert all(f"<!-- figure: {name} -->" in marked for name in FIGURES)


def test_a_figure_that_was_typed_in_is_replaced() -> None:
    text = "It is right in <!-- figure: cascade.accuracy -->99 %<!-- end --> of the cases."
    assert filled(text) == text.replace("99 %", FIGURES["cascade.accuracy"]())
    table = "<!-- figures: drives.pairs -->\n| typed |\n<!-- end of figures -->"
    assert TABLES["drives.pairs"]() in filled(table)


def test_a_name_without_a_record_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown figure 'nonesuch'"):
        filled("<!-- figure: nonesuch -->1<!-- end -->")
    with pytest.raises(UserError, match="CSV file"):
        filled("<!-- figures: studies/nonesuch.csv -->\n<!-- end of figures -->")

"""A run of a study of a paper, from the measurements to its record, figure, verdicts and page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bicameral.charts import Figure, standalone_svg
from bicameral.files import write_bytes_atomic, write_text_atomic
from bicameral.statistics import Estimate
from bicameral.tables import DASH, Entry, Table, markdown_table, print_table, table_of
from studies.claims import Claim, Paper
from studies.measurements import Measured, read_measurements, write_measurements
from studies.study import Study, paper_studies

_SUBJECT = "claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a run found.

    Attributes:
        claims: The figure of each tested claim, by its name.
        figure: The study's picture.
        measured: Everything else that the record is to hold, such as the points of the figure.
        graphs: ONNX graphs to write beside the record, by file name, so that they can be served.
    """

    claims: dict[str, Estimate]
    figure: Figure
    measured: Measured
    graphs: Mapping[str, bytes] = field(default_factory=dict)


def study_of(
    paper: Paper, measure: Callable[[bool], Findings], *, claim: str, setting: str, needs: str = ""
) -> Study:
    """Return the study of a paper.

    Args:
        paper: Whose claims it repeats.
        measure: Gets whether a short run on few data is enough.
        claim: What is to be shown, in one sentence that can turn out wrong.
        setting: Hardware, n, seeds and how long a whole run takes.
        needs: What a run needs that the repository lacks.
    """
    run = partial(_run, paper, measure)
    return Study(claim=claim, setting=setting, run=run, needs=needs, paper=paper)


def _run(paper: Paper, measure: Callable[[bool], Findings], folder: Path, quick: bool) -> int:
    """Write record and figure, print the verdicts; return 1 if one is that it does not hold."""
    found = measure(quick)
    if unknown := set(found.claims) - set(paper.claims):
        raise KeyError(f"figures of no claim: {sorted(unknown)}; claims are {list(paper.claims)}")
    record = {(_SUBJECT, "", name): one for name, one in found.claims.items()} | found.measured
    write_measurements(folder / paper.record.name, record)
    picture = folder / paper.record.with_suffix(".svg").name
    write_text_atomic(picture, standalone_svg(found.figure))
    for name, graph in found.graphs.items():
        write_bytes_atomic(folder / name, graph)
    heads = ("claim", "published", "bound", "found", "verdict")
    rows = [_judged(claim, found.claims.get(name)) for name, claim in paper.claims.items()]
    print_table(table_of(f"{paper.title} ({paper.arxiv})", heads, rows, words=5))
    return int(any(row[-1] == "does not hold" for row in rows))


def verdict_table() -> str:
    """Return the table of `docs/studies.md`: every claim with what the record says of it."""
    rows: list[tuple[Entry, ...]] = []
    for name, study in paper_studies().items():
        paper = study.paper
        if paper is None:
            continue
        link = f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})"
        ends = (link, f"`python -m studies {name}`")
        for claim, found in recorded(paper).items():
            rows.append((ends[0], *_judged(paper.claims[claim], found), ends[1]))
            ends = ("", "")
    heads = ("paper", "claim", "published", "bound", "found", "verdict", "command")
    table: Table = table_of("", heads, rows, words=7)
    return markdown_table(table)


def recorded(paper: Paper) -> dict[str, Estimate | None]:
    """Return what the full run found of each claim; None of a claim that is not tested here."""
    record = read_measurements(paper.record)
    return {
        name: None if claim.untested else record[_SUBJECT, "", name]
        for name, claim in paper.claims.items()
    }


def _judged(claim: Claim, found: Estimate | None) -> tuple[str, str, str, str, str]:
    if claim.untested:
        return claim.text, claim.published or DASH, DASH, claim.untested, claim.verdict(None)
    bound = f"{claim.relation} {claim.threshold:g}"
    return claim.text, claim.published or DASH, bound, _shown(found), claim.verdict(found)


def _shown(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return DASH
    unit = "" if found.unit == "1" else f" {found.unit}"
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" [{found.low:.3g}, {found.high:.3g}]"
    return f"{found.value:.3g}{interval}{unit}, n = {found.n}"

"""The zoo's tables as Markdown, as they stand in `docs/zoo/README.md`."""

from __future__ import annotations

from pathlib import PurePosixPath

from models.zoo.catalogue import CATALOGUE
from models.zoo.results import EntryEvaluation, ZooEvaluation

#: Folder of the page that the tables are for; links to cards are relative to it.
_FOLDER = PurePosixPath("docs/zoo")


def markdown_tables(evaluation: ZooEvaluation) -> str:
    """Return what was measured and what each entry is good for."""
    lines = [
        "| classifier | n | accuracy % | macro F1 % | NLL | ECE | corrupted % | corrupted ECE "
        "| M MACs | parameters | CPU µs | KiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_figures(one) for one in evaluation.entries),
        "",
        "| classifier | what it offers | what the figures say |",
        "|---|---|---|",
        *(_uses(one) for one in evaluation.entries),
        "",
        "| classifier | accuracy % | published for the same data |",
        "|---|---|---|",
        *_published(evaluation),
        "",
        f"| accuracy % of the first {evaluation.n_corrupted:,} test images | "
        + " | ".join(
            f"{one.name} {strength:g}"
            for one in evaluation.corruptions
            for strength in one.strengths
        )
        + " |",
        "|---|" + "---|" * sum(len(one.strengths) for one in evaluation.corruptions),
        *(_corrupted(one) for one in evaluation.entries),
    ]
    return "\n".join(lines) + "\n"


def _linked(name: str) -> str:
    listed = CATALOGUE.get(name)
    if listed is None:
        return f"`{name}`"
    card = PurePosixPath(listed.card)
    link = card.name if card.parent == _FOLDER else f"../{card.relative_to(_FOLDER.parent)}"
    return f"[`{name}`]({link})"


def _figures(one: EntryEvaluation) -> str:
    accuracy, robust = one.accuracy, one.robustness
    cells = (
        _linked(one.name),
        str(len(one.models)),
        f"{100 * accuracy.value:.2f} [{100 * accuracy.low:.2f}, {100 * accuracy.high:.2f}]",
        f"{100 * one.macro_f1.mean:.2f}",
        f"{one.nll.mean:.3f}",
        f"{one.ece.mean:.4f}",
        f"{100 * robust.value:.1f} [{100 * robust.low:.1f}, {100 * robust.high:.1f}]",
        f"{one.corrupted_ece.mean:.3f}",
        "–" if one.macs is None else f"{one.macs / 1e6:.2f}",
        f"{one.parameters:,}",
        f"{one.cpu_us:.0f}",
        f"{one.bytes / 1024:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _uses(one: EntryEvaluation) -> str:
    listed = CATALOGUE.get(one.name)
    return f"| `{one.name}` | {listed.offers if listed else '–'} | {one.good_for or '–'} |"


def _published(evaluation: ZooEvaluation) -> list[str]:
    rows = []
    for name, listed in CATALOGUE.items():
        one = evaluation.entry(name)
        if one is not None and listed.kind not in ("compared", "variant"):
            paper = f"[arXiv {listed.arxiv}]({listed.paper_url})"
            says = listed.published or "none found"
            rows.append(f"| `{name}` | {100 * one.accuracy.value:.2f} | {says}; {paper} |")
    return rows


def _corrupted(one: EntryEvaluation) -> str:
    cells = (f"{100 * each.accuracy.mean:.1f}" for each in one.corrupted)
    return f"| `{one.name}` | {' | '.join(cells)} |"

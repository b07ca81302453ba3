"""How the command line shows the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from models.zoo.catalogue import ZooEntry
    from models.zoo.results import EntryEvaluation, ZooEvaluation

_DASH = "-"


def print_zoo(evaluation: ZooEvaluation) -> None:
    """Print a row per entry, the most accurate first, and the entries that were not measured."""
    from models.zoo.catalogue import CATALOGUE

    table = Table(
        title=f"classifiers on {evaluation.n_test} test images of {evaluation.dataset}",
        title_justify="left",
    )
    table.add_column("name", no_wrap=True)
    table.add_column("paper", no_wrap=True)
    for column in (
        "accuracy %", "seeds", "ECE", "corrupted %", "M MACs", "CPU µs", "KiB", "ships",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for one in evaluation.entries:
        table.add_row(*map(escape, _row(one, CATALOGUE.get(one.name))))
    for name, listed in CATALOGUE.items():
        if evaluation.entry(name) is None:
            table.add_row(name, f"arXiv {listed.arxiv}", "not measured yet")
    table.caption = (
        "accuracy: mean over the trainings (seeds) with its 95 % interval; corrupted: mean over "
        f"{len(evaluation.corruptions)} corruptions of 3 strengths, {evaluation.n_corrupted} "
        f"images each; CPU: one thread of "
        f"{evaluation.host} at batch 1, all in turns"
    )
    _console().print(table)


def _row(one: EntryEvaluation, listed: ZooEntry | None) -> tuple[str, ...]:
    accuracy, robust = one.accuracy, one.robustness
    return (
        one.name,
        f"arXiv {listed.arxiv}" if listed else _DASH,
        f"{100 * accuracy.value:.2f} [{100 * accuracy.low:.2f}, {100 * accuracy.high:.2f}]",
        str(len(one.models)),
        f"{one.ece.mean:.4f}",
        f"{100 * robust.value:.1f} [{100 * robust.low:.1f}, {100 * robust.high:.1f}]",
        _DASH if one.macs is None else f"{one.macs / 1e6:.2f}",
        f"{one.cpu_us:.0f}",
        f"{one.bytes / 1024:.0f}",
        "yes" if one.ships else "no",
    )


def print_entry(name: str, listed: ZooEntry, evaluation: ZooEvaluation) -> None:
    """Print what a card says of an entry, and what was measured."""
    table = Table(title=f"{name}: {listed.title}", title_justify="left", show_header=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("says", overflow="fold")
    table.add_row("paper", escape(f"{listed.paper}, {listed.paper_url}"))
    table.add_row("offers", escape(listed.offers))
    table.add_row("published", escape(listed.published or "no figure for the same data was found"))
    one = evaluation.entry(name)
    if one is None:
        table.add_row("measured", "not yet; measure it with bicameral assess zoo")
    else:
        for what, says in _measured(one, evaluation):
            table.add_row(what, escape(says))
    for what, says in _commands(name, one, evaluation):
        table.add_row(what, escape(says))
    table.add_row("card", escape(listed.card))
    _console().print(table)


def _measured(one: EntryEvaluation, evaluation: ZooEvaluation) -> list[tuple[str, str]]:
    accuracy, robust, f1 = one.accuracy, one.robustness, one.macro_f1
    seeds = f"n = {len(one.models)} training{'s' if len(one.models) > 1 else ''}"
    corrupted = ", ".join(
        f"{corruption.name} "
        + " / ".join(
            f"{100 * each.accuracy.mean:.1f}"
            for each in one.corrupted
            if each.corruption == corruption.name
        )
        for corruption in evaluation.corruptions
    )
    macs = _DASH if one.macs is None else f"{one.macs / 1e6:.2f} million multiply-accumulates, "
    return [
        (
            "accuracy",
            f"{100 * accuracy.value:.2f} % [{100 * accuracy.low:.2f}, {100 * accuracy.high:.2f}] "
            f"on {evaluation.n_test} test images of {evaluation.dataset}, {seeds}; macro F1 "
            f"{100 * f1.mean:.2f} %",
        ),
        (
            "calibration",
            f"ECE {one.ece.mean:.4f}, under corruptions {one.corrupted_ece.mean:.3f}; NLL "
            f"{one.nll.mean:.3f} nats",
        ),
        (
            "robustness",
            f"{100 * robust.value:.1f} % under all corruptions of {evaluation.n_corrupted} images; "
            f"weak / middle / strong: {corrupted}",
        ),
        (
            "cost",
            f"{macs}{one.parameters:,} parameters, {one.bytes / 1024:.0f} KiB, "
            f"{one.cpu_us:.0f} µs of one thread of {evaluation.host} at batch 1",
        ),
        ("good for", one.good_for or "nothing that another entry does not do better"),
    ]


def _commands(
    name: str, one: EntryEvaluation | None, evaluation: ZooEvaluation
) -> list[tuple[str, str]]:
    """Say how to train, ask and serve it."""
    from edge.shipped import shipped_model, shipped_models
    from edge.sidecar import read_sidecar

    model = next((each for each in one.models if each in shipped_models()), None) if one else None
    if model is None:
        return [("ships", "no")]
    sidecar = read_sidecar(shipped_model(model))
    return [
        ("ships", f"yes, as {model}"),
        ("ask", f"bicameral classify photo.jpg --model {model}"),
        ("serve", "bicameral serve"),
        ("trained by", sidecar.training.command),
        ("limits", sidecar.limits),
    ]


def _console() -> Console:
    # The tables need some width; where output goes to a file there is enough.
    return Console(width=None if Console().is_terminal else 150)

"""`bicameral zoo`: the classifiers from the literature, and what each is good for."""

from __future__ import annotations

from dataclasses import replace

from bicameral.tables import (
    Cell,
    Table,
    estimate_cell,
    integer,
    magnitude,
    percent,
    percent_cell,
    print_table,
    row,
    table_of,
)
from edge.shipped import shipped_model, shipped_models
from edge.sidecar import read_sidecar
from models.zoo.catalogue import CATALOGUE, ZooEntry, entry
from models.zoo.results import EntryEvaluation, ZooEvaluation, figure_table, shipped_evaluation


def zoo(name: str | None = None, /) -> int:
    """List the classifiers of the zoo with what was measured, or show one of them.

    The figures come with the project: they are those of FashionMNIST that `python -m studies zoo`
    measured.

    Args:
        name: Entry to show; all are listed without it.
    """
    evaluation = shipped_evaluation()
    print_table(_list(evaluation) if name is None else _card(name, entry(name), evaluation))
    return 0


def _list(evaluation: ZooEvaluation) -> Table:
    """Return a row per entry with its paper; those that were not measured come last."""

    def name(entry: str) -> Cell:
        return Cell(text=entry, small=f"arXiv {CATALOGUE[entry].arxiv}")

    table = figure_table(evaluation, name)
    rest = ["not measured yet", *[""] * (len(table.columns) - 2)]
    absent = [row(name(one), *rest) for one in CATALOGUE if evaluation.entry(one) is None]
    return replace(table, rows=(*table.rows, *absent))


def _card(name: str, listed: ZooEntry, evaluation: ZooEvaluation) -> Table:
    """Return what a card says of an entry, what was measured, and how to use it."""
    one = evaluation.entry(name)
    facts = {
        "paper": f"{listed.paper}, {listed.paper_url}",
        "offers": listed.offers,
        "published": listed.published or "no figure for the same data was found",
        **(_measured(one, evaluation) if one else {"measured": "not yet"}),
        **_uses(one),
        "card": listed.card,
    }
    return table_of(f"{name}: {listed.title}", ("what", "says"), facts.items(), words=2)


def _measured(one: EntryEvaluation, evaluation: ZooEvaluation) -> dict[str, str]:
    accuracy, ece = percent_cell(one.accuracy), estimate_cell(one.ece, 4).text
    n = len(one.models)
    corrupted = ", ".join(f"{name}: {percent(value, 1)}" for name, value in one.corrupted.items())
    return {
        "accuracy": f"{accuracy.text} % {accuracy.small} on {evaluation.n_test} test images of "
        f"{evaluation.dataset}, n = {n} training{'s' if n > 1 else ''}; macro F1 "
        f"{percent(one.macro_f1.value)} %",
        "calibration": f"ECE {ece}, under corruptions {estimate_cell(one.corrupted_ece, 3).text}; "
        f"NLL {estimate_cell(one.nll, 3).text} nats",
        "robustness": f"{percent(one.robustness.value, 1)} % under all corruptions of "
        f"{evaluation.n_corrupted} images; {corrupted}",
        "cost": f"{magnitude(one.macs)} multiply-accumulates, {integer(one.parameters)} "
        f"parameters, {integer(one.bytes / 1024)} KiB, {integer(one.cpu_us)} µs of one thread of "
        f"{evaluation.host} at batch 1",
        "good for": one.good_for or "nothing that another entry does not do better",
    }


def _uses(one: EntryEvaluation | None) -> dict[str, str]:
    """Say how to ask and serve it, and how it was trained."""
    model = next((each for each in one.models if each in shipped_models()), None) if one else None
    if model is None:
        return {"ships": "no"}
    sidecar = read_sidecar(shipped_model(model))
    return {
        "ships": f"yes, as {model}",
        "ask": f"bicameral classify photo.jpg --model {model}",
        "serve": "bicameral serve",
        "trained by": sidecar.training.command,
        "limits": sidecar.limits,
    }

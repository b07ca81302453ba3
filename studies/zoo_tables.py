"""The tables of docs/zoo, made from the committed records of the studies."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from bicameral.statistics import Estimate
from bicameral.tables import (
    DASH,
    Cell,
    Entry,
    estimate_cell,
    integer,
    markdown_table,
    percent,
    percent_cell,
    points_cell,
)
from models.data.corruptions import CORRUPTIONS
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import figure_table, shipped_evaluation
from studies import classifier_findings, paper_tables, training_findings
from studies.measurements import Cells, Of, markdown, pivot, read_measurements
from studies.pairs import ON_TEST_IMAGES
from studies.study import DATA

RECORDS = DATA / "fashion_mnist" / "zoo"

#: Folder of the pages; links to cards are relative to it.
_FOLDER = PurePosixPath("docs/zoo")


def _zoo() -> str:
    """Return what was measured of every entry."""
    return markdown_table(figure_table(shipped_evaluation(), _linked))


def _linked(name: str) -> str:
    card = PurePosixPath(CATALOGUE[name].card)
    link = card.name if card.parent == _FOLDER else f"../{card.relative_to(_FOLDER.parent)}"
    return f"[`{name}`]({link})"


def _uses() -> str:
    """List what each entry is good for."""
    rows = [
        (one.name, CATALOGUE[one.name].offers if one.name in CATALOGUE else None, one.good_for)
        for one in shipped_evaluation().entries
    ]
    return markdown(("classifier", "what it offers", "what the figures say"), rows, words=3)


def _published() -> str:
    """Return the published figures beside ours."""
    rows = []
    for name, listed in CATALOGUE.items():
        one = shipped_evaluation().entry(name)
        if one is not None and listed.kind not in ("compared", "variant"):
            paper = f"[arXiv {listed.arxiv}]({listed.paper_url})"
            says = f"{listed.published or 'none found'}; {paper}"
            rows.append((f"`{name}`", percent(one.accuracy.value), says))
    return markdown(("classifier", "accuracy %", "published for the same data"), rows, words=3)


def _corruptions() -> str:
    """Return the accuracy under every corruption and strength."""
    evaluation = shipped_evaluation()
    names = [f"{name} {s:g}" for name, one in CORRUPTIONS.items() for s in one.strengths]
    rows = [
        (f"`{one.name}`", *(percent(one.corrupted[name], 1) for name in names))
        for one in evaluation.entries
    ]
    return markdown(
        (f"accuracy % of the first {integer(evaluation.n_corrupted)} test images", *names), rows
    )


def _attention() -> str:
    """Return each head's gate after the training, and its distance before and after."""
    measured = read_measurements(RECORDS / "convit" / "attention.csv")
    shown = (("after", "gate"), ("before", "distance"), ("after", "distance"))
    blocks: dict[str, dict[tuple[str, str], list[str]]] = {}
    for (subject, condition, quantity), one in measured.items():
        if condition:
            block = blocks.setdefault(subject.split()[1], {})
            block.setdefault((condition, quantity), []).append(f"{one.value:.2f}")
    rows = [
        (number, *(" ".join(block.get(key, [DASH])) for key in shown))
        for number, block in blocks.items()
    ]
    heads = ("block", "share of position after training", "distance before", "distance after")
    return markdown(heads, rows)


def _spikes(layer: str, condition: str, of: Of) -> Cells:
    """Return what a layer of neurons sends."""
    low, high = (integer(of(f"spikes, {end} %").value or 0.0) for end in (5, 95))
    neurons, spikes, additions = (
        integer(of(name).value or 0.0) for name in ("neurons", "spikes", "additions")
    )
    return layer, neurons, spikes, f"{low} .. {high}", estimate_cell(of("rate"), 3), additions


def _rewiring(subject: str, condition: str, of: Of) -> Cells:
    """Return how far group_to_group is ahead of another network."""
    other = subject.partition(" against ")[2]
    return f"`{other}`", percent_cell(of("other accuracy")), points_cell(of("difference"))


def _pair(record: str, subject: str) -> str:
    """Return a comparison of two classifiers."""
    measured = read_measurements(RECORDS / record)
    batches = [key[1] for key in measured if key[0] == subject and key[2] == "ratio"]

    def line(name: str, prefix: str) -> Cells:
        accuracy = measured[subject, ON_TEST_IMAGES, f"{prefix}accuracy"]
        times = (measured[subject, batch, f"{prefix}CPU time"] for batch in batches)
        return name, percent_cell(accuracy), *(estimate_cell(time, 0).text for time in times)

    one, other = subject.split(" against ")
    difference = points_cell(measured[subject, ON_TEST_IMAGES, "difference"])
    ratios = (estimate_cell(measured[subject, batch, "ratio"]).text for batch in batches)
    return markdown(
        ("", "accuracy %", *(f"CPU µs an image, {batch}" for batch in batches)),
        (
            line(f"`{one}`", ""),
            line(other, "other "),
            ("difference in points, ratio of the times", difference, *ratios),
        ),
    )


def _routing() -> str:
    """Return each network that chooses beside its twin."""
    measured = read_measurements(RECORDS / "routing.csv")

    def line(name: str, subject: str, prefix: str, difference: Entry) -> Cells:
        times = (
            estimate_cell(one, 0).text
            for (of, condition, quantity), one in measured.items()
            if of == subject and quantity == f"{prefix}CPU time" and condition.startswith("batch")
        )
        load = [one.value or 0.0 for key, one in measured.items() if key[::2] == (name, "load")]
        macs, parameters = (
            measured[name, "", each].value or 0.0 for each in ("MACs", "parameters")
        )
        return (
            f"`{name}`",
            percent_cell(measured[subject, ON_TEST_IMAGES, f"{prefix}accuracy"]),
            difference,
            f"{macs / 1e6:.2f}",
            integer(parameters),
            *times,
            f"{min(load):.2f} .. {max(load):.2f}" if load else None,
        )

    subjects = [key[0] for key in measured if key[2] == "difference"]
    differences = [points_cell(measured[one, ON_TEST_IMAGES, "difference"]) for one in subjects]
    rows = [line(subjects[0].split()[-1], subjects[0], "other ", None)]
    rows += [
        line(one.split()[0], one, "", difference)
        for one, difference in zip(subjects, differences, strict=True)
    ]
    heads = (
        "network", "accuracy %", "minus its twin, points", "M MACs", "parameters",
        "CPU µs an image, batch 1", "batch 32", "load of the experts",
    )  # fmt: skip
    return markdown(heads, rows)


def _acceptance() -> str:
    """Return the verdict on each paper, then what was to be shown and what was.

    Some rows of the record only name a paper whose finding is read from the record of its study.
    """
    _, *rows = csv.reader((RECORDS / "acceptance.csv").read_text("utf-8").splitlines())
    parts = (paper_tables, classifier_findings, training_findings)
    known = {name: find for part in parts for name, find in part.FINDINGS.items()}
    rows = [[*row[:4], *known[row[0]]()] if row[0] in known else row for row in rows]
    verdicts = markdown(("what", "arXiv", "verdict"), [(*row[:2], row[5]) for row in rows], words=3)
    details = [
        f"* **{what}**, {verdict}. To be shown: {wanted}. Published: {published}. Found: {found}"
        for what, _, wanted, published, found, verdict in rows
    ]
    return f"{verdicts}\n" + "\n".join(details)


def _likeness() -> str:
    """Return how alike the classifiers that ship are before their last layer, each two of them.

    Above the diagonal stands linear CKA, below it how well units match.
    """
    measured = read_measurements(RECORDS / "likeness_shipped.csv")
    shown = {
        (a, b) if quantity == training_findings.CKA else (b, a): f"{one.value or 0.0:.2f}"
        for (a, b, quantity), one in measured.items()
    }
    names = list(dict.fromkeys(name for pair in measured for name in pair[:2]))
    rows: list[Cells] = [(f"`{a}`", *(shown.get((a, b), DASH) for b in names)) for a in names]
    return markdown(("CKA, below it r", *(f"`{name}`" for name in names)), rows)


def _missing_pixels() -> str:
    """Return how often each is right, and how far off what it fills in is, by what is observed."""
    measured = read_measurements(RECORDS / "missing_pixels.csv")
    conditions = dict.fromkeys(condition for _, condition, _ in measured)
    quantities: dict[str, tuple[str, Callable[[Estimate | None], Cell]]] = {
        "accuracy": ("accuracy %", percent_cell),
        "difference": ("points", points_cell),
        "error of the filled pixels": (
            "error of the filled pixels, of 255",
            partial(estimate_cell, digits=1),
        ),
    }
    rows: list[Cells] = [
        (subject, shown, *(cell(measured.get((subject, one, quantity))) for one in conditions))
        for quantity, (shown, cell) in quantities.items()
        for subject in dict.fromkeys(key[0] for key in measured if key[2] == quantity)
    ]
    return markdown(("", "", *conditions), rows, words=2)


def _aligned(subject: str, condition: str, of: Of) -> Cells:
    """Make the cells of a way to map features, and of how many examples a read-out has."""
    accuracy, severity = percent_cell(of("accuracy")), estimate_cell(of("severity"), 3)
    return subject, condition, accuracy, severity


def _modes() -> str:
    """Return every way to answer from the comparison with a kernel, means over the networks."""
    ways: dict[str, dict[str, list[float]]] = {}
    kernels: dict[str, set[str]] = {}
    for (way, condition, quantity), one in read_measurements(RECORDS / "kernel_head.csv").items():
        seed, _, kernel = condition.partition(", ")
        if seed.startswith("seed"):
            ways.setdefault(way, {}).setdefault(quantity, []).append(one.value or 0.0)
            kernels.setdefault(way, set()).add(kernel)
    shown = ("validation accuracy", "validation NLL", "test accuracy")
    rows = []
    for way, found in ways.items():
        accuracy, loss, test = (float(np.mean(found[name])) for name in shown)
        settings = "; ".join(
            f"{name} {', '.join(f'{value:g}' for value in sorted(set(found[name])))}"
            for name in ("ridge", "step")
            if name in found
        )
        chosen = ", ".join(sorted(kernels[way]))
        rows.append((f"`{way}`", percent(accuracy), f"{loss:.4f}", percent(test), chosen, settings))
    rows.sort(key=lambda cells: cells[2])
    heads = ("way", "validation %", "validation NLL", "test %", "kernels", "settings")
    return markdown(heads, rows)


#: By the name that stands in the mark of a page.
TABLES: dict[str, Callable[[], str]] = {
    "zoo": _zoo,
    "zoo.uses": _uses,
    "zoo.published": _published,
    "zoo.corruptions": _corruptions,
    "zoo.attention": _attention,
    "zoo.spikes": partial(
        pivot,
        RECORDS / "spikes.csv",
        "rate",
        (
            "layer", "neurons", "spikes per image", "5 % .. 95 % of the images", "rate",
            "additions they cause",
        ),
        _spikes,
    ),
    "zoo.group_to_group": partial(
        _pair, "group_to_group.csv", "group_to_group against dense_mlp"
    ),
    "zoo.rewiring": partial(
        pivot,
        RECORDS / "group_to_group.csv",
        "difference",
        ("compared with", "its accuracy %", "`group_to_group` ahead by, points (paired, 95 %)"),
        _rewiring,
    ),
    "zoo.kernel_head": partial(_pair, "kernel_head.csv", "kernel_head against linear head"),
    "zoo.kernel_head_modes": _modes,
    "zoo.routing": _routing,
    "zoo.acceptance": _acceptance,
    "zoo.likeness": _likeness,
    "zoo.missing_pixels": _missing_pixels,
    "zoo.aligned_features": partial(
        pivot,
        RECORDS / "aligned_features.csv",
        "accuracy",
        ("features", "known are", "accuracy of these classes %", "severity of mistakes"),
        _aligned,
    ),
}  # fmt: skip

"""The tables of docs/zoo, made from the committed records of the studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from bicameral.statistics import Estimate
from bicameral.tables import (
    DASH,
    Cell,
    Table,
    columns,
    estimate_cell,
    integer,
    markdown_table,
    percent,
    percent_cell,
    points_cell,
    row,
)
from models.data.corruptions import CORRUPTIONS
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import figure_table, shipped_evaluation
from studies.measurements import read_measurements
from studies.pairs import ON_TEST_IMAGES
from studies.study import DATA
from studies.zoo_page import use_table

RECORDS = DATA / "fashion_mnist" / "zoo"

#: Folder of the pages; links to cards are relative to it.
_FOLDER = PurePosixPath("docs/zoo")


def _markdown(heads: Iterable[str], rows: Iterable[Iterable[str | Cell | float | None]]) -> str:
    table = Table(title="", columns=columns(*heads), rows=tuple(row(*cells) for cells in rows))
    return markdown_table(table)


def zoo_figures() -> str:
    """Return what was measured of every entry."""
    return markdown_table(figure_table(shipped_evaluation(), _linked))


def _linked(name: str) -> str:
    listed = CATALOGUE.get(name)
    if listed is None:
        return f"`{name}`"
    card = PurePosixPath(listed.card)
    link = card.name if card.parent == _FOLDER else f"../{card.relative_to(_FOLDER.parent)}"
    return f"[`{name}`]({link})"


def zoo_uses() -> str:
    """Return what each entry is good for."""
    return markdown_table(use_table(shipped_evaluation()))


def zoo_published() -> str:
    """Return the published figures beside ours."""
    rows = []
    for name, listed in CATALOGUE.items():
        one = shipped_evaluation().entry(name)
        if one is not None and listed.kind not in ("compared", "variant"):
            paper = f"[arXiv {listed.arxiv}]({listed.paper_url})"
            says = f"{listed.published or 'none found'}; {paper}"
            rows.append(row(f"`{name}`", percent(one.accuracy.value), says))
    heads = columns("classifier", "accuracy %", "published for the same data", words=3)
    return markdown_table(Table(title="", columns=heads, rows=tuple(rows)))


def zoo_corruptions() -> str:
    """Return the accuracy under every corruption and strength."""
    evaluation = shipped_evaluation()
    names = [f"{name} {s:g}" for name, one in CORRUPTIONS.items() for s in one.strengths]
    head = f"accuracy % of the first {integer(evaluation.n_corrupted)} test images"
    return _markdown(
        (head, *names),
        (
            (f"`{one.name}`", *(percent(one.corrupted[name], 1) for name in names))
            for one in evaluation.entries
        ),
    )


def convit_attention() -> str:
    """Return each head's gate after the training, and its distance before and after."""
    measured = read_measurements(RECORDS / "convit" / "attention.csv")
    blocks: dict[str, list[str]] = {}
    for subject, condition, _ in measured:
        if condition == "after":
            heads = blocks.setdefault(subject.split()[1], [])
            heads += [subject] if subject not in heads else []

    def figures(heads: list[str], condition: str, quantity: str) -> str:
        found = [measured.get((head, condition, quantity)) for head in heads]
        return " ".join(f"{one.value:.2f}" for one in found if one is not None) or DASH

    return _markdown(
        ("block", "share of position after training", "distance before", "distance after"),
        (
            (
                block,
                figures(heads, "after", "gate"),
                figures(heads, "before", "distance"),
                figures(heads, "after", "distance"),
            )
            for block, heads in blocks.items()
        ),
    )


def spikes() -> str:
    """Return what each layer of neurons sends."""
    measured = read_measurements(RECORDS / "spikes.csv")

    def count(layer: str, quantity: str) -> str:
        return integer(_value(measured[layer, "", quantity]))

    layers = [layer for layer, _, quantity in measured if quantity == "rate"]
    heads = (
        "layer", "neurons", "spikes per image", "5 % .. 95 % of the images", "rate",
        "additions they cause",
    )  # fmt: skip
    return _markdown(
        heads,
        (
            (
                layer,
                count(layer, "neurons"),
                count(layer, "spikes"),
                f"{count(layer, 'spikes, 5 %')} .. {count(layer, 'spikes, 95 %')}",
                estimate_cell(measured[layer, "", "rate"], 3),
                count(layer, "additions"),
            )
            for layer in layers
        ),
    )


def group_to_group() -> str:
    """Return the sparse perceptron beside its dense twin."""
    return _pair("group_to_group.csv", "group_to_group against dense_mlp")


def group_to_group_rewiring() -> str:
    """Return how far it is ahead of the same network that rewires otherwise."""
    measured = read_measurements(RECORDS / "group_to_group.csv")
    ways = {"regrown at random": "group_to_group_random", "fixed mask": "group_to_group_fixed"}
    own = measured["group_to_group against dense_mlp", ON_TEST_IMAGES, "accuracy"]
    rows: list[tuple[str | Cell, ...]] = [("regrown by correlation", percent_cell(own), "")]
    for way, name in ways.items():
        subject = f"group_to_group against {name}"
        rows.append(
            (
                way,
                percent_cell(measured[subject, ON_TEST_IMAGES, "other accuracy"]),
                points_cell(measured[subject, ON_TEST_IMAGES, "difference"]),
            )
        )
    heads = ("blocks", "accuracy %", "`group_to_group` ahead by, points (paired, 95 %)")
    return _markdown(heads, rows)


def _pair(file: str, subject: str) -> str:
    """Return a comparison of two classifiers."""
    measured = read_measurements(RECORDS / file)
    batches = [
        condition
        for name, condition, quantity in measured
        if name == subject and quantity == "ratio"
    ]
    one, other = subject.split(" against ")

    def times(quantity: str, digits: int) -> list[str]:
        return [estimate_cell(measured[subject, b, quantity], digits).text for b in batches]

    def accuracy(quantity: str) -> Estimate:
        return measured[subject, ON_TEST_IMAGES, quantity]

    return _markdown(
        ("", "accuracy %", *(f"CPU µs an image, {batch}" for batch in batches)),
        (
            (f"`{one}`", percent_cell(accuracy("accuracy")), *times("CPU time", 0)),
            (other, percent_cell(accuracy("other accuracy")), *times("other CPU time", 0)),
            (
                "difference in points, ratio of the times",
                points_cell(accuracy("difference")),
                *times("ratio", 2),
            ),
        ),
    )


def kernel_head() -> str:
    """Return the kernel head beside the linear head of the same network."""
    return _pair("kernel_head.csv", "kernel_head against linear head")


def kernel_head_modes() -> str:
    """Return every way to answer from the comparison, means over the networks."""
    measured = read_measurements(RECORDS / "kernel_head.csv")
    ways: dict[str, dict[str, list[float]]] = {}
    kernels: dict[str, list[str]] = {}
    for (way, condition, quantity), one in measured.items():
        if not condition.startswith("seed"):
            continue
        ways.setdefault(way, {}).setdefault(quantity, []).append(_value(one))
        _, _, kernel = condition.partition(", ")
        for setting in ("ridge", "step"):
            if (way, condition, setting) in measured:
                kernel += f", {setting} {_value(measured[way, condition, setting]):g}"
        if kernel and kernel not in kernels.setdefault(way, []):
            kernels[way].append(kernel)
    return _markdown(
        ("way", "validation %", "validation NLL", "test %", "kernels that were chosen"),
        (
            (
                f"`{way}`",
                percent(_mean(found["validation accuracy"])),
                f"{_mean(found['validation NLL']):.4f}",
                percent(_mean(found["test accuracy"])),
                "; ".join(sorted(kernels.get(way, []))),
            )
            for way, found in sorted(ways.items(), key=lambda one: _mean(one[1]["validation NLL"]))
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _value(estimate: Estimate) -> float:
    return estimate.value or 0.0


#: By the name that stands in the mark of a page.
TABLES: dict[str, Callable[[], str]] = {
    "zoo": zoo_figures,
    "zoo.uses": zoo_uses,
    "zoo.published": zoo_published,
    "zoo.corruptions": zoo_corruptions,
    "zoo.attention": convit_attention,
    "zoo.spikes": spikes,
    "zoo.group_to_group": group_to_group,
    "zoo.rewiring": group_to_group_rewiring,
    "zoo.kernel_head": kernel_head,
    "zoo.kernel_head_modes": kernel_head_modes,
}

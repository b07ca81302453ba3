"""The page of the zoo: fronts of accuracy over cost, robustness, calibration, all figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bicameral.charts import (
    Axis,
    Bars,
    Chart,
    Figure,
    HeatMap,
    Ink,
    Series,
    draw_bars,
    draw_chart,
    draw_heat_map,
)
from bicameral.page import Block, Code, Page, Section, SideBySide, picture
from bicameral.statistics import Estimate
from bicameral.tables import (
    Table,
    columns,
    integer,
    percent,
    row,
)
from models.data.corruptions import CORRUPTIONS, condition_name, corrupt
from models.data.dataset import LabelledImages
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import CostName, EntryEvaluation, ZooEvaluation, figure_table
from studies.zoo_summary import CLEAN

#: Title of the front and label of its axis, by cost.
_COSTS: dict[CostName, tuple[str, str]] = {
    "macs": ("Accuracy over multiply-accumulates", "multiply-accumulates per image"),
    "cpu_us": ("Accuracy over CPU time", "CPU time per image at batch 1, µs"),
    "bytes": ("Accuracy over size", "size of the files, bytes"),
}

#: Name in the legend, colour and marker of what an entry can be.
_GROUPS: tuple[tuple[str, Ink, str], ...] = (
    ("part of the cascade", "ink", "o"),
    ("another form of an entry", "little", "s"),
    ("zoo", "cascade", "D"),
    ("the cascade", "a", "*"),
)

#: Test images that show what the corruptions do.
_EXAMPLES = 4


def zoo_page(evaluation: ZooEvaluation, test: LabelledImages) -> Page:
    """Return the page of an evaluation.

    Args:
        evaluation: What to show.
        test: The test images that were measured.
    """
    trainings = sum(len(one.models) for one in evaluation.entries)
    single = ", ".join(one.name for one in evaluation.entries if len(one.models) == 1)
    notes = [
        f"CPU times are of one thread of {evaluation.host} at batch 1, all entries taking turns in "
        "one run: read them as ratios."
    ]
    if single:
        notes.append(
            f"There is one training (n = 1) of {single}: those intervals cover the draw of the "
            "test images, not how training varies."
        )
    fronts = [front_figure(evaluation, cost) for cost in _COSTS]
    return Page(
        title=f"Classifiers on {evaluation.dataset}",
        lead=f"{len(evaluation.entries)} classifiers in {trainings} trainings, measured alike on "
        f"{integer(evaluation.n_test)} test images as they are, and on "
        f"{integer(evaluation.n_corrupted)} of them under {len(CORRUPTIONS)} corruptions of three "
        "strengths.",
        notes=notes,
        sections=(
            Section(title="What each is good for", blocks=[use_table(evaluation)]),
            Section(title="Accuracy and cost", blocks=fronts),
            Section(title="Robustness", blocks=[_robustness_figure(evaluation)]),
            Section(title="Calibration", blocks=[_ece_figure(evaluation)]),
            Section(title="All figures", blocks=[figure_table(evaluation)]),
            Section(title="The corruptions", blocks=_examples(evaluation, test)),
            Section(title="How it was made", blocks=[_provenance(evaluation)]),
        ),
    )


def front_figure(evaluation: ZooEvaluation, cost: CostName) -> Figure:
    """Draw accuracy over a cost, and the front that nothing measured here beats."""
    title, label = _COSTS[cost]
    shown = [one for one in evaluation.entries if one.cost(cost)]
    front = sorted(
        (one.cost(cost) or 0.0, _percent(one.accuracy).value or 0.0)
        for one in shown
        if cost in one.unbeaten_by
    )
    line = Series(
        name="not beaten",
        x=[x for x, _ in front],
        y=[y for _, y in front],
        ink="soft",
        marker="",
        line="-",
    )
    absent = ", ".join(one.name for one in evaluation.entries if one not in shown)
    return draw_chart(
        Chart(
            title=title,
            x=Axis(label=label, log=True),
            y=Axis(label="test accuracy, %"),
            series=[line, *_groups(shown, cost)],
        ),
        caption="Up and to the left is better. Whiskers: 95 % intervals over the test images and, "
        "where there are several, trainings. The line joins what no other entry beats at this cost."
        + (f" Unknown for {absent}." if absent else ""),
    )


def _groups(shown: list[EntryEvaluation], cost: CostName) -> list[Series]:
    """Return a series for each group of entries."""
    series = []
    for name, ink, marker in _GROUPS:
        chosen = [one for one in shown if _group(one) == name]
        estimates = [_percent(one.accuracy) for one in chosen]
        if chosen:
            series.append(
                Series(
                    name=name,
                    x=[one.cost(cost) or 0.0 for one in chosen],
                    y=[one.value or 0.0 for one in estimates],
                    ink=ink,
                    marker=marker,
                    labels=[one.name for one in chosen],
                    intervals=estimates,
                )
            )
    return series


def _group(one: EntryEvaluation) -> str:
    if one.name == "cascade":
        return "the cascade"
    listed = CATALOGUE.get(one.name)
    groups = {"compared": "part of the cascade", "variant": "another form of an entry"}
    return groups.get(listed.kind, "zoo") if listed else "zoo"


def _percent(estimate: Estimate) -> Estimate:
    low, value, high = (
        None if end is None else 100.0 * end
        for end in (estimate.low, estimate.value, estimate.high)
    )
    return replace(estimate, low=low, value=value, high=high, unit="%")


def _robustness_figure(evaluation: ZooEvaluation) -> Figure:
    """Draw the accuracy under every corruption and strength, a row per entry."""
    entries = sorted(evaluation.entries, key=lambda one: -(one.robustness.value or 0.0))
    names = list(entries[0].corrupted)
    values = np.array(
        [
            [one.accuracy.value, one.robustness.value, *(one.corrupted[name] for name in names)]
            for one in entries
        ],
        np.float64,
    )
    best = [(int(values[:, c].argmax()), c) for c in range(2, values.shape[1])]
    return draw_heat_map(
        HeatMap(
            title="Accuracy under corruptions",
            rows=[one.name for one in entries],
            columns=[CLEAN, "mean of all", *names],
            # Losses of a few points and of half of all answers must both be told apart.
            values=np.sqrt(1.0 - values),
            texts=[[percent(value, 1) for value in line] for line in values],
            limits=(0.0, 1.0),
            framed=best,
        ),
        caption="Percent of the test images, mean over the trainings; the most robust entry first, "
        "the best figure of a column framed. The darker, the more was lost against 100 %.",
    )


def _ece_figure(evaluation: ZooEvaluation) -> Figure:
    entries = sorted(evaluation.entries, key=lambda one: one.ece.value or 0.0)
    return draw_bars(
        Bars(
            title="Calibration error",
            axis=Axis(label="expected calibration error, points"),
            labels=[one.name for one in entries],
            parts={
                "images as they are": [100.0 * (one.ece.value or 0.0) for one in entries],
                "mean over all corruptions": [
                    100.0 * (one.corrupted_ece.value or 0.0) for one in entries
                ],
            },
        ),
        caption="Over 15 bins of confidence; temperatures were fitted on validation images that "
        "were not corrupted. Shorter is better.",
    )


def use_table(evaluation: ZooEvaluation) -> Table:
    """List what each entry is good for."""
    return Table(
        title="What each is good for",
        columns=columns("classifier", "what it offers", "what the figures say", words=3),
        rows=tuple(
            row(
                one.name,
                CATALOGUE[one.name].offers if one.name in CATALOGUE else None,
                one.good_for or None,
            )
            for one in evaluation.entries
        ),
    )


def _examples(evaluation: ZooEvaluation, test: LabelledImages) -> list[Block]:
    """Show the first images of different classes, corrupted as they were for the measurement."""
    _, index = np.unique(test.labels, return_index=True)
    chosen = index[:_EXAMPLES]
    # Draws depend on the place in the array: corrupt all of them up to the last one shown.
    images = test.images[: int(chosen.max()) + 1]
    blocks: list[Block] = [
        "Every classifier saw the same pixels: the draws depend on the seed, the corruption, its "
        "strength and the place of an image only."
    ]
    for name, one in CORRUPTIONS.items():
        shown = {CLEAN: images[chosen]} | {
            condition_name(name, level): corrupt(images, name, level, evaluation.seed)[chosen]
            for level in range(len(one.strengths))
        }
        blocks.append(f"{name}: {one.unit}; {one.why}.")
        blocks.append(
            SideBySide(
                blocks=[
                    picture(np.hstack(list(few))[..., 0], f"test images, {title}")
                    for title, few in shown.items()
                ]
            )
        )
    return blocks


def _provenance(evaluation: ZooEvaluation) -> Code:
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    return Code(
        text=f"{evaluation.command}\n{evaluation.dataset}, sha256 of data and split "
        f"{evaluation.dataset_sha256}\nseed of the corruptions {evaluation.seed}; {versions}"
    )

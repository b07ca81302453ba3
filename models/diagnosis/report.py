"""The page of `bicameral diagnose`: whatever can be said of one network, or of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bicameral.charts import Axis, Chart, HeatMap, Series, draw_chart, draw_heat_map
from bicameral.page import Block, Page, Section
from bicameral.tables import Column, estimate_cell, percent, points, table_of
from edge.samples import Samples
from models.diagnosis.attention_heads import HeadStudy, MaskedHeads, study_heads
from models.diagnosis.collapse import TOO_FEW, ClassGeometry, Collapse, measure_collapse
from models.diagnosis.graph import OpenGraph, short_name, spread
from models.diagnosis.representations import PARTNER, match_units, similarity

#: Layers of each network on the map of two.
_LAYERS = 8
#: Samples that every head is switched off for; it takes many runs.
_HEAD_SAMPLES = 400
#: Share of the answers that the heads which can go may change.
_CHANGED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A section of the page, and what it comes to in a sentence."""

    sentence: str
    section: Section


def diagnose(graphs: Sequence[OpenGraph], samples: Samples, command: str) -> Page:
    """Look into a network, or into two and at how alike they are.

    Args:
        graphs: One or two.
        samples: What they are asked about.
        command: For the page.

    Raises:
        DataError: If the samples do not fit one of them.
    """
    findings: list[Finding | None] = []
    for graph in graphs:
        findings += [_collapse(graph, samples), _heads(graph, samples), _routes(graph, samples)]
    if len(graphs) > 1:
        findings.append(_representations(graphs[0], graphs[1], samples))
    found = [one for one in findings if one is not None]
    notes = [f"Asked about {samples.description}. Made by {command}."]
    if samples.is_random:
        notes.append(
            "The pictures are noise: give real ones with --data, for what a network makes of noise "
            "says little of what it makes of pictures."
        )
    return Page(
        title=" and ".join(graph.name for graph in graphs) + " inside",
        lead="What a trained network does with its pictures, layer by layer, and what that says "
        "of the classes that it gets wrong.",
        sentences=[one.sentence for one in found]
        or ["Nothing fits: no classes, no attention, and no other network to compare with."],
        notes=notes,
        sections=[one.section for one in found],
    )


def _collapse(graph: OpenGraph, samples: Samples) -> Finding | None:
    last, logits = graph.last_layer(), graph.output("logits")
    labels = samples.labels
    if last is None or logits is None or labels is None or not graph.sidecar.labels:
        return None
    answers = graph.read(samples, [logits])[logits]
    if answers.ndim != 2:
        return None
    weights = last[1] if last[1] is not None and len(last[1]) == answers.shape[1] else None
    features = graph.read_units(samples, [last[0]])[last[0]]
    found = measure_collapse(features, labels, answers.argmax(axis=1), weights)
    if found is None:
        return None
    names = graph.sidecar.labels
    facts = [
        ("spread within classes by that between (NC1)", f"{found.within:.2f}", "0"),
        (
            "cosine of two centres (NC2)",
            f"{found.cosine:.3f} ± {found.cosine_spread:.3f}",
            f"{found.ideal_cosine:.3f} ± 0",
        ),
        ("spread of the centres' lengths (NC2)", percent(found.length_spread, 1) + " %", "0 %"),
        (
            "cosine of centre and row of the last layer (NC3)",
            "no last layer" if found.alignment is None else f"{found.alignment:.3f}",
            "1",
        ),
        ("nearest centre gives the answer (NC4)", percent(found.agreement, 1) + " %", "100 %"),
    ]
    classes = table_of(
        f"classes of {graph.name}",
        (
            "class", "samples", "recall %",
            "nearest centre %|share whose nearest centre is that of their class",
            "length|distance of the centre from the middle, mean 1", "nearest class",
            "separation|distance to it by the standard deviation along that line",
            Column(label="what became of it", words=True),
        ),
        [_class_row(one, names) for one in found.classes],
        note="“Lies among others”: the features do not tell it apart; data or features help. “Is "
        "not heard”: the features do, and the last layer does not answer with it; a shift of its "
        "logit (logit adjustment) helps.",
    )  # fmt: skip
    table = table_of("how far it has collapsed", ("figure", "found", "if collapsed"), facts)
    return Finding(
        sentence=_collapse_sentence(graph.name, found, names),
        section=Section(title=f"Classes in {graph.name}", blocks=[table, classes]),
    )


def _class_row(one: ClassGeometry, names: Sequence[str]) -> tuple[str | int, ...]:
    return (
        names[one.number],
        one.n,
        percent(one.recall, 1),
        percent(one.centre_recall, 1),
        f"{one.length:.2f}",
        names[one.neighbour],
        f"{one.separation:.2f}",
        one.fate,
    )


def _collapse_sentence(name: str, found: Collapse, names: Sequence[str]) -> str:
    lost = [
        f"{names[one.number]} {one.fate} (recall {percent(one.recall, 0)} %, nearest centre "
        f"{percent(one.centre_recall, 0)} %, n = {one.n})"
        for one in found.classes
        if one.fate not in ("", TOO_FEW)
    ]
    hardest = min(found.classes, key=lambda one: one.recall)
    return (
        f"{name}: the nearest class centre gives its answer for {percent(found.agreement, 1)} % of "
        f"the samples. Hardest is {names[hardest.number]}: recall {percent(hardest.recall, 0)} %, "
        f"{hardest.separation:.1f} standard deviations from {names[hardest.neighbour]}. "
        + ("; ".join(lost) if lost else "No class is lost")
        + "."
    )


def _heads(graph: OpenGraph, samples: Samples) -> Finding | None:
    few = samples.first(_HEAD_SAMPLES)
    if graph.output("logits") is None:
        return None
    masked = MaskedHeads(graph, few)
    if not masked.shape[0]:
        return None
    found = study_heads(masked, few.labels)
    count = found.divergence.size
    blocks: list[Block] = [_importance(graph.name, found), _removal(graph.name, found)]
    if found.accuracy_lost is not None:
        blocks.append(
            f"Alone, the {count} heads cost {points(found.accuracy_lost.sum())} points of accuracy "
            "in sum. What several cost together is not that sum, for one may do what another "
            "did: the curve shows it."
        )
    best = np.unravel_index(found.divergence.argmax(), masked.shape)
    spare, by_chance = (
        sum(share >= 1.0 - _CHANGED for share in curve) - 1
        for curve in (found.agreement, found.random_agreement)
    )
    return Finding(
        sentence=f"{graph.name}: head {best[1] + 1} of block {best[0] + 1} matters most. "
        f"{spare} of its {count} heads can go before a tenth of the answers change, the least "
        f"important first; {by_chance} at random.",
        section=Section(title=f"Heads of {graph.name}", blocks=blocks),
    )


def _importance(name: str, found: HeadStudy) -> Block:
    blocks, heads = found.divergence.shape
    milli = 1e3 * found.divergence
    return draw_heat_map(
        HeatMap(
            title=f"what each head of {name} is worth",
            rows=[f"block {index + 1}" for index in range(blocks)],
            columns=[f"head {index + 1}" for index in range(heads)],
            values=milli,
            texts=[[f"{value:.1f}" for value in row] for row in milli],
        ),
        caption="Jensen-Shannon divergence, in thousandths of a nat, of the answers with and "
        "without the head; 0: it changes nothing.",
    )


def _removal(name: str, found: HeadStudy) -> Block:
    count = np.arange(len(found.agreement), dtype=np.float64)
    series = [
        Series(name="the least important first", x=count, y=found.agreement, ink="a", line="-"),
        Series(name="at random", x=count, y=found.random_agreement, ink="soft", line="--"),
    ]
    axis = Axis(label="share of the answers that stay", low=0.0, high=1.02)
    return draw_chart(
        Chart(
            title=f"{name} without some of its heads",
            x=Axis(label="heads that are switched off"),
            y=axis,
            series=series,
        )
    )


def _routes(graph: OpenGraph, samples: Samples) -> Finding | None:
    output = graph.output("routes")
    if output is None or samples.labels is None:
        return None
    used = graph.read(samples, [output])[output]
    blocks, experts = used.shape[1:]
    present = np.unique(samples.labels)
    by_class = np.stack([used[samples.labels == one].mean(axis=0) for one in present], axis=-1)
    load = used.mean(axis=0)
    rows = by_class.reshape(blocks * experts, -1)
    names = [
        f"block {index // experts + 1}, {index % experts + 1}" for index in range(blocks * experts)
    ]
    picture = draw_heat_map(
        HeatMap(
            title=f"what the classes ask of the experts of {graph.name}",
            rows=names,
            columns=[graph.sidecar.labels[one] for one in present],
            values=rows,
            texts=[[f"{value:.2f}" for value in row] for row in rows],
            limits=(0.0, 1.0),
        ),
        caption="Share of a picture's patches that the expert answered for, mean over the class.",
    )
    return Finding(
        sentence=f"{graph.name}: its experts answer for {percent(load.min(), 0)} % to "
        f"{percent(load.max(), 0)} % of what they could; the classes differ by up to "
        f"{percent(float(np.ptp(by_class, axis=-1).max()), 0)} points in what they ask of one.",
        section=Section(title=f"Routes of {graph.name}", blocks=[picture]),
    )


def _representations(a: OpenGraph, b: OpenGraph, samples: Samples) -> Finding:
    layers = [spread(graph.layers(), _LAYERS) for graph in (a, b)]
    of_a, of_b, control = (
        list(graph.read_units(samples, names).values())
        for graph, names in ((a, layers[0]), (b, layers[1]), (b.shuffled(), layers[1]))
    )
    alike = np.array([[similarity(one, other) for other in of_b] for one in of_a])
    rows, cells = [], []
    for number, values in enumerate(of_a):
        best = int(alike[number].argmax())
        found, by_chance = (match_units(values, one[best]) for one in (of_b, control))
        cells.append((alike[number, best], similarity(values, control[best]), found))
        rows.append(
            (
                short_name(layers[0][number]),
                short_name(layers[1][best]),
                f"{alike[number, best]:.2f}",
                f"{cells[-1][1]:.2f}",
                estimate_cell(found.correlation, 2),
                estimate_cell(by_chance.correlation, 2),
                percent(found.partners, 0),
            )
        )
    heads = (
        f"layer of {a.name}", f"most similar layer of {b.name}", "CKA|1: they know the same",
        "with shuffled weights", "matched r|mean correlation of matched units on other pictures",
        "with shuffled weights", f"partners %|matched units with r above {PARTNER:g}",
    )  # fmt: skip
    table = table_of("layer by layer", heads, rows, words=2)
    picture = draw_heat_map(
        HeatMap(
            title=f"how alike the layers of {a.name} and {b.name} are (CKA)",
            rows=[short_name(name) for name in layers[0]],
            columns=[short_name(name) for name in layers[1]],
            values=alike,
            texts=[[f"{value:.2f}" for value in row] for row in alike],
            limits=(0.0, 1.0),
        ),
        caption=f"Rows: {a.name}, columns: {b.name}. Linear CKA of what the units say on the "
        "whole, means over the places of a layer.",
    )
    (first, _, _), (last, chance, _) = cells[0], cells[-1]
    least = min(range(len(cells)), key=lambda number: cells[number][0])
    return Finding(
        sentence=f"{a.name} and {b.name}: CKA {first:.2f} in the first layer, {last:.2f} in the "
        f"last ({chance:.2f} with shuffled weights), least in {short_name(layers[0][least])} "
        f"({cells[least][0]:.2f}, {cells[least][1]:.2f}), where "
        f"{percent(cells[least][2].partners, 0)} % of the units have a partner in the other."
        + _agreement(a, b, samples),
        section=Section(title="How alike they are", blocks=[picture, table]),
    )


def _agreement(a: OpenGraph, b: OpenGraph, samples: Samples) -> str:
    """Say how often two classifiers answer alike, and how often both are wrong."""
    names = a.output("logits"), b.output("logits")
    if None in names or a.sidecar.labels != b.sidecar.labels:
        return ""
    logits = [
        graph.read(samples, [str(name)])[str(name)]
        for graph, name in zip((a, b), names, strict=True)
    ]
    answers = [one.argmax(axis=-1) for one in logits]
    text = f" They answer alike for {percent(float((answers[0] == answers[1]).mean()), 1)} %"
    if samples.labels is None or answers[0].ndim != 1:
        return text + "."
    wrong = [one != samples.labels for one in answers]
    both, expected = (wrong[0] & wrong[1]).mean(), wrong[0].mean() * wrong[1].mean()
    return (
        f"{text}, and both are wrong for {percent(float(both), 1)} % "
        f"({percent(float(expected), 1)} % if their mistakes were independent)."
    )

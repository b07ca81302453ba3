"""The page of `bicameral diagnose`: whatever can be said of one network, or of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bicameral.charts import Axis, Chart, HeatMap, Series, draw_chart, draw_heat_map
from bicameral.page import Block, Page, Section
from bicameral.tables import Column, percent, points, table_of
from edge.samples import Samples
from models.diagnosis.attention_heads import HeadStudy, MaskedHeads, study_heads
from models.diagnosis.collapse import TOO_FEW, ClassGeometry, Collapse, measure_collapse
from models.diagnosis.finding import Finding
from models.diagnosis.graph import OpenGraph
from models.diagnosis.representations import study_likeness

#: Samples that every head is switched off for; it takes many runs.
_HEAD_SAMPLES = 400
#: Share of the answers that the heads which can go may change.
_CHANGED = 0.1


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
        findings.append(study_likeness(graphs[0], graphs[1], samples))
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

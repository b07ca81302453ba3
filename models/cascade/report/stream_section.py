"""What streams with repeated images cost, and what the memory and the gate do there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bicameral.errors import DataError
from edge.gating_bench import GatingCost
from models.cascade.report.bars import Bar, BarChart, BarGroup, draw_bars
from models.cascade.report.figures import Figure
from models.cascade.report.quantities import (
    DASH,
    integer,
    microseconds,
    percent,
    range_text,
    ratio,
)
from models.cascade.report.svg import Ink
from models.cascade.report.tables import Cell, Column, Row, Table, row
from models.cascade.results import CascadeEvaluation
from models.cascade.streams_results import (
    PAIR_SYSTEM,
    REFERENCE_SYSTEM,
    ChangeRecord,
    MeasurementSetup,
    MemoryCost,
    MemoryKeyRecord,
    StreamMeasurements,
    StreamRecord,
    published_cost,
)

#: Colours of systems; further ones take the rest in turn.
_SYSTEM_INKS: dict[str, Ink] = {REFERENCE_SYSTEM: "reference", PAIR_SYSTEM: "cascade"}
_FURTHER_INKS: tuple[Ink, ...] = ("a", "b", "little", "paper")

Measure = Callable[[StreamRecord], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSection:
    """The measurements as the template needs them.

    Attributes:
        setup: What was measured where, in a sentence; empty where nothing was measured.
        notes: What a reader must know.
        figures: Costs by stream.
        tables: The same in numbers, and everything else; empty where nothing was measured.
    """

    setup: str
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]


def stream_section(evaluation: CascadeEvaluation, measured: StreamMeasurements) -> StreamSection:
    """Show measurements of streams.

    Raises:
        DataError: If they were made with another data set than the evaluation.
    """
    setup = measured.setup
    if setup is not None and setup.dataset_sha256 != evaluation.dataset_sha256:
        raise DataError(
            f"the streams were measured on {setup.dataset!r} with sha256 {setup.dataset_sha256}, "
            f"the cascade was judged on {evaluation.dataset!r} with {evaluation.dataset_sha256}; "
            "measure the streams of that data set"
        )
    return StreamSection(
        setup="" if setup is None else _setup_sentence(setup),
        notes=measured.notes,
        figures=tuple(_figures(measured.streams)),
        tables=tuple(_tables(measured)),
    )


def _setup_sentence(setup: MeasurementSetup) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(setup.versions.items()))
    return (
        f"Cascade {setup.model} and reference {setup.reference} at batch 1 on streams made of "
        f"{integer(setup.n_images)} test images with seed {setup.seed}; CPU time: median of "
        f"{setup.rounds} interleaved rounds on {setup.host} ({versions}). Every memory was empty "
        "at the beginning of every stream."
    )


def _figures(streams: Sequence[StreamRecord]) -> Iterator[Figure]:
    """Draw what every system costs on every stream, by multiply-accumulates and CPU time."""
    if streams:
        yield _figure(streams, "macs", "Multiply-accumulates", lambda r: r.macs_ratio)
        yield _figure(streams, "cpu", "CPU time", lambda r: r.cpu_ratio.median)


def _figure(streams: Sequence[StreamRecord], name: str, title: str, measure: Measure) -> Figure:
    inks = _inks(streams)
    groups = tuple(
        BarGroup(
            title=stream,
            bars=tuple(
                Bar(
                    name=record.system,
                    ink=inks[record.system],
                    value=measure(record),
                    text=ratio(measure(record)),
                    published=_published(record),
                )
                for record in streams
                if record.stream == stream
            ),
        )
        for stream in dict.fromkeys(record.stream for record in streams)
    )
    chart = BarChart(
        name=f"streams-{name}",
        title=f"{title} by stream, relative to the reference",
        description="One bar per system and stream; the table holds the figures.",
        groups=groups,
    )
    marked = any(bar.published is not None for group in groups for bar in group.bars)
    return Figure(
        title=chart.title,
        caption=(
            "Strokes across bars mark the paper's charge relative to its large network: other "
            "data, networks and hardware, and measured with a power meter."
            if marked
            else ""
        ),
        legend=(),
        svg=draw_bars(chart),
        table=None,
    )


def _inks(streams: Sequence[StreamRecord]) -> dict[str, Ink]:
    systems = dict.fromkeys(record.system for record in streams)
    further = [system for system in systems if system not in _SYSTEM_INKS]
    return _SYSTEM_INKS | {
        system: _FURTHER_INKS[k % len(_FURTHER_INKS)] for k, system in enumerate(further)
    }


def _published(record: StreamRecord) -> float | None:
    """Return the paper's figure for the same experiment: repeats that were appended."""
    if record.arrangement != "appended" or record.system == REFERENCE_SYSTEM:
        return None
    return published_cost(record.system, record.duplicates)


def _tables(measured: StreamMeasurements) -> Iterator[Table]:
    """Yield the tables of what was measured."""
    if measured.streams:
        yield _stream_table(measured.streams)
    if measured.changes:
        yield _change_table(measured.changes)
    if measured.memory:
        yield _key_table(measured.memory)
    if measured.memory_costs:
        yield _memory_cost_table(measured.memory_costs)
    if measured.gating:
        yield _gating_table(measured.gating)


def _stream_table(streams: Sequence[StreamRecord]) -> Table:
    return Table(
        title="Streams",
        columns=(
            Column(label="stream"),
            Column(label="system"),
            Column(label="images", help="repeats included; share of repeats by originals"),
            Column(label="accuracy %", help="and of how many images, if not of all"),
            Column(label="A %", help="share of the images that A, or the single network, saw"),
            Column(label="B %", help="share of the images that B saw"),
            Column(label="MACs", help="by the reference's on the same stream"),
            Column(label="CPU", help="by the reference's in the same round: median, least to most"),
            Column(label="paper's", help="charge by that of the paper's large network"),
            Column(label="CPU µs", help="per image, the memory included"),
            Column(label="hits %", help="of all images, and of the repeated ones"),
            Column(label="wrong hits", help="answered other than the networks would have"),
        ),
        rows=tuple(map(_stream_row, streams)),
        words=2,
    )


def _stream_row(record: StreamRecord) -> Row:
    judged = "" if record.n_judged == record.n_images else f"of {integer(record.n_judged)}"
    repeats, label_hits = record.repeat_hit_rate, record.wrong_label_hits
    return row(
        Cell(text=record.stream, small=record.arrangement),
        record.system,
        Cell(text=integer(record.n_images), small=f"{percent(record.duplicates, 0)} % repeated"),
        Cell(text=percent(record.accuracy), small=judged),
        percent(record.share_a, 1),
        percent(record.share_b, 1),
        ratio(record.macs_ratio),
        Cell(
            text=ratio(record.cpu_ratio.median),
            small=range_text(percent(record.cpu_ratio.least, 1), percent(record.cpu_ratio.most, 1)),
        ),
        ratio(_published(record)),
        microseconds(record.cpu_us),
        Cell(
            text=DASH if record.hit_rate is None else percent(record.hit_rate, 1),
            small="" if repeats is None else f"{percent(repeats, 1)} of repeats",
        ),
        Cell(
            text=DASH if record.wrong_hits is None else integer(record.wrong_hits),
            small="" if label_hits is None else f"{integer(label_hits)} of another class",
        ),
    )


def _change_table(changes: Sequence[ChangeRecord]) -> Table:
    return Table(
        title="Changed frames that the memory recognised",
        columns=(
            Column(label="stream"),
            Column(label="system"),
            Column(label="change", help="what was done to a repeated frame"),
            Column(label="frames"),
            Column(label="hits"),
            Column(label="hits %"),
        ),
        rows=tuple(
            row(
                record.stream,
                record.system,
                record.change,
                integer(record.n),
                integer(record.hits),
                _share(record.hits, record.n),
            )
            for record in changes
        ),
        words=3,
    )


def _key_table(records: Sequence[MemoryKeyRecord]) -> Table:
    return Table(
        title="Keys of the result memory",
        columns=(
            Column(label="key"),
            Column(label="stream"),
            Column(label="images", help="looked up"),
            Column(label="hits"),
            Column(label="hits %"),
            Column(label="wrong-label hits", help="the stored image is of another true class"),
            Column(label="wrong-label %", help="of all images"),
            Column(label="lookup µs", help="CPU time"),
        ),
        rows=tuple(
            row(
                record.key,
                record.stream,
                integer(record.n),
                integer(record.hits),
                _share(record.hits, record.n),
                integer(record.wrong_label_hits),
                _share(record.wrong_label_hits, record.n),
                microseconds(record.lookup_us),
            )
            for record in records
        ),
        words=2,
    )


def _memory_cost_table(costs: Sequence[MemoryCost]) -> Table:
    return Table(
        title="What the memory costs per image",
        columns=(
            Column(label="memory"),
            Column(label="batch size"),
            Column(label="entries", help="results that it held"),
            Column(label="hit µs", help="CPU time of a lookup that was answered"),
            Column(label="miss µs", help="CPU time of a lookup that was not"),
            Column(label="store µs", help="CPU time of storing a result"),
            Column(label="classifier µs", help="CPU time of the classifier it saves"),
        ),
        rows=tuple(
            row(
                cost.key,
                str(cost.batch_size),
                integer(cost.entries),
                microseconds(cost.hit_us),
                microseconds(cost.miss_us),
                microseconds(cost.store_us),
                microseconds(cost.classifier_us),
            )
            for cost in costs
        ),
    )


def _gating_table(costs: Sequence[GatingCost]) -> Table:
    return Table(
        title="What gate and combination cost, without a memory",
        columns=(
            Column(label="batch size"),
            Column(label="images", help="per round"),
            Column(label="B %", help="share of the images that B saw"),
            Column(label="gate µs", help="CPU time per image: median, least to most"),
            Column(label="networks µs", help="CPU time per image, pre-processing included"),
            Column(label="gate / networks"),
        ),
        rows=tuple(
            row(
                str(cost.batch_size),
                integer(cost.images),
                percent(cost.share_b, 1),
                Cell(
                    text=microseconds(cost.gating_us),
                    small=range_text(
                        microseconds(cost.least_gating_us), microseconds(cost.most_gating_us)
                    ),
                ),
                microseconds(cost.networks_us),
                ratio(cost.ratio),
            )
            for cost in costs
        ),
    )


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else DASH

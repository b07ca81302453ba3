"""How the command line shows measurements of streams, memories and the gate."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from models.cascade.streams_results import REFERENCE_SYSTEM, published_cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from models.cascade.streams_results import StreamMeasurements, StreamRecord


def print_measurements(measured: StreamMeasurements) -> None:
    """Print every table, then the notes."""
    console = Console()
    for table in _tables(measured):
        console.print(table)
    for note in measured.notes:
        console.print(f"- {note}", highlight=False)


def _tables(measured: StreamMeasurements) -> Iterator[Table]:
    yield _answer_table(measured)
    yield _cost_table(measured)
    yield _change_table(measured)
    yield _key_table(measured)
    yield _memory_cost_table(measured)
    yield _gating_table(measured)


def _answer_table(measured: StreamMeasurements) -> Table:
    setup = measured.setup
    title = "answers on streams"
    if setup is not None:
        title = f"{setup.model} on streams of {setup.n_images} test images of {setup.dataset}"
    table = _table(
        title,
        "system",
        ("accuracy %", "images", "hits %", "of repeats %", "other answer", "other class"),
    )
    for record in _by_stream(table, measured.streams):
        table.add_row(
            f"  {record.system}",
            f"{100 * record.accuracy:.2f}",
            str(record.n_judged),
            _percent(record.hit_rate),
            _percent(record.repeat_hit_rate),
            _count(record.wrong_hits),
            _count(record.wrong_label_hits),
        )
    table.caption = (
        "other answer: hits that are not what the networks would have answered; other class: hits "
        "of a remembered image of another true class"
    )
    return table


def _cost_table(measured: StreamMeasurements) -> Table:
    setup = measured.setup
    title = "cost on streams"
    if setup is not None:
        title = f"cost relative to {setup.reference}; CPU time at batch 1 on {setup.host}"
    table = _table(
        title, "system", ("A %", "B %", "MACs %", "paper's %", "CPU µs", "CPU %", "range")
    )
    for record in _by_stream(table, measured.streams):
        published = None
        if record.arrangement == "appended":
            published = published_cost(record.system, record.duplicates)
        ratio, is_reference = record.cpu_ratio, record.system == REFERENCE_SYSTEM
        table.add_row(
            f"  {record.system}",
            "-" if is_reference else _percent(record.share_a),
            "-" if is_reference else _percent(record.share_b),
            _percent(record.macs_ratio),
            _percent(published),
            f"{record.cpu_us:.0f}",
            _percent(ratio.median),
            "-" if is_reference else f"{100 * ratio.least:.1f}-{100 * ratio.most:.1f}",
        )
    table.caption = (
        "A, B: share of the images that the network computed; paper's: charge relative to its "
        "large network, CIFAR-10 on a Jetson Nano (arXiv 2412.01039)"
    )
    return table


def _by_stream(table: Table, records: Sequence[StreamRecord]) -> Iterator[StreamRecord]:
    """Yield the records, and put a heading where another stream begins."""
    for stream, group in itertools.groupby(records, key=lambda record: record.stream):
        table.add_section()
        table.add_row(f"[bold]{stream}[/bold]")
        yield from group


def _change_table(measured: StreamMeasurements) -> Table:
    """Lay out one row per change and one column per memory."""
    systems = list(dict.fromkeys(record.system for record in measured.changes))
    titles = [system.removeprefix("pair+").removesuffix(" memory") for system in systems]
    table = _table("hits among changed frames, %", "change", ("frames", *titles))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for record in measured.changes:
        row = rows.setdefault((record.stream, record.change), {"frames": str(record.n)})
        row[record.system] = f"{100 * record.hits / record.n:.1f}"
    for (_, change), row in rows.items():
        table.add_row(change, *(row.get(column, "-") for column in ("frames", *systems)))
    return table


def _key_table(measured: StreamMeasurements) -> Table:
    table = _table(
        "false hits: keys of the memory on images that all differ",
        "key",
        ("n", "hits", "hits %", "other class", "of all %"),
    )
    for stream, records in itertools.groupby(measured.memory, key=lambda record: record.stream):
        table.add_section()
        table.add_row(f"[bold]{stream}[/bold]")
        for record in records:
            table.add_row(
                f"  {record.key}",
                str(record.n),
                str(record.hits),
                f"{100 * record.hits / record.n:.2f}",
                str(record.wrong_label_hits),
                f"{100 * record.wrong_label_hits / record.n:.2f}",
            )
    return table


def _memory_cost_table(measured: StreamMeasurements) -> Table:
    table = _table(
        "a memory's cost per image beside network A's, CPU µs",
        "key",
        ("batch", "entries", "hit", "miss", "store", "A"),
    )
    for cost in measured.memory_costs:
        network = "-" if cost.classifier_us is None else f"{cost.classifier_us:.0f}"
        times = (f"{value:.1f}" for value in (cost.hit_us, cost.miss_us, cost.store_us))
        table.add_row(cost.key, str(cost.batch_size), str(cost.entries), *times, network)
    return table


def _gating_table(measured: StreamMeasurements) -> Table:
    table = _table(
        "what gate, combination and trace add per image, CPU µs",
        "batch",
        ("B %", "gating", "range", "networks", "gating / networks %"),
    )
    for cost in measured.gating:
        table.add_row(
            str(cost.batch_size),
            _percent(cost.share_b),
            f"{cost.gating_us:.1f}",
            f"{cost.least_gating_us:.1f}-{cost.most_gating_us:.1f}",
            f"{cost.networks_us:.1f}",
            _percent(cost.ratio),
        )
    return table


def _table(title: str, name: str, columns: Sequence[str]) -> Table:
    """Make a table of one column of names and columns of numbers, narrow enough for a pipe."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _count(count: int | None) -> str:
    return "-" if count is None else str(count)

"""Tables of an evaluation: choices, comparisons, the pool, calibration, complementarity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.cascade.bootstrap import Interval
from models.cascade.report.quantities import (
    DASH,
    integer,
    magnitude,
    microseconds,
    percent,
    percent_interval,
    points,
    points_interval,
    ratio,
    readable,
    spread_percent,
)
from models.cascade.report.wording import (
    FAMILY_WORDS,
    LEVEL_WORDS,
    OPPONENT_WORDS,
    ROLE_WORDS,
    chosen,
    part_title,
    policy_text,
    requirement_text,
    system_title,
    verdict,
)
from models.cascade.results import (
    CascadeEvaluation,
    ChoiceRecord,
    ComparisonRecord,
    MixtureRecord,
    NetworkRecord,
    Spread,
    SystemRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and what it means."""

    label: str
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, what stands after it in smaller print, and how many columns it takes."""

    text: str
    small: str = ""
    span: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells, and whether the row stands out."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: For screen readers, and the heading of a table that can be folded.
        columns: Headings; the first `words` of them hold words and are aligned to the left.
        rows: The rows.
        words: Columns of words.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    words: int = 1


def row(*texts: str | Cell, marked: bool = False) -> Row:
    """Return a row of texts and cells."""
    cells = (Cell(text=entry) if isinstance(entry, str) else entry for entry in texts)
    return Row(cells=tuple(cells), marked=marked)


def spread_cell(spread: Spread) -> Cell:
    """Write a share's mean and standard deviation over the seeds, in percent."""
    text, small = spread_percent(spread)
    return Cell(text=text, small=small)


def difference_cell(interval: Interval | None) -> Cell:
    """Write a difference in percentage points with its interval, or a dash."""
    if interval is None:
        return Cell(text=DASH)
    return Cell(text=points(interval.value), small=points_interval(interval))


def choice_table(evaluation: CascadeEvaluation) -> Table:
    """List what can be had: the request and the presets."""
    return Table(
        title="Choices",
        columns=(
            Column(label="choice", help="name of the preset, or the request"),
            Column(label="asked for", help="on the validation images"),
            Column(label="cascade", help="A → B, and when B is asked"),
            Column(label="validation %", help="mean over the seeds; it was chosen by this figure"),
            Column(label="test %", help=f"mean over the seeds, {LEVEL_WORDS} interval"),
            Column(label="B asked %", help="share of the test images that B saw"),
            Column(label="MACs", help="expected per test image, and by the reference's"),
            Column(label="CPU µs", help="expected per test image, and by the reference's"),
            Column(
                label="optimism",
                help="points by which choosing flatters the validation accuracy, by split halves",
            ),
        ),
        rows=tuple(_choice_row(evaluation, choice) for choice in evaluation.choices),
        words=3,
    )


def _choice_row(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Row:
    name = Cell(text=readable(choice.name), small=FAMILY_WORDS[choice.family])
    wanted = requirement_text(choice.requirement, evaluation.cost)
    if choice.system is None or choice.test_accuracy is None:
        return row(name, wanted, Cell(text=f"Not met: {choice.unmet}.", span=7))
    system, interval = choice.system, choice.test_accuracy
    macs_ratio, cpu_ratio = _ratios_to_reference(choice.comparisons)
    return row(
        name,
        wanted,
        Cell(
            text=system_title(system),
            small=policy_text(system, evaluation.detail.shipped_seed),
        ),
        spread_cell(system.validation.accuracy),
        Cell(text=percent(interval.value), small=percent_interval(interval)),
        percent(system.test.usage.mean, 1),
        Cell(text=magnitude(system.test.expected_macs), small=ratio(macs_ratio)),
        Cell(text=microseconds(system.test.expected_cpu_us), small=ratio(cpu_ratio)),
        Cell(
            text=points(choice.optimism.expected),
            small=f"allowed for {points(choice.allowance)}" if choice.allowance else "",
        ),
        marked=choice.name == evaluation.detail.choice,
    )


def _ratios_to_reference(
    comparisons: Iterable[ComparisonRecord],
) -> tuple[float | None, float | None]:
    for comparison in comparisons:
        if comparison.against == "reference":
            return comparison.macs_ratio, comparison.cpu_ratio
    return None, None


def comparison_table(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Table:
    """Compare one choice with its opponents."""
    rows = []
    for comparison in choice.comparisons:
        opponent, difference = comparison.opponent, comparison.accuracy_difference
        rows.append(
            row(
                OPPONENT_WORDS[comparison.against],
                Cell(
                    text=system_title(opponent),
                    small=policy_text(opponent, evaluation.detail.shipped_seed),
                ),
                verdict(difference),
                difference_cell(difference),
                spread_cell(_test_accuracy(opponent)),
                ratio(comparison.macs_ratio),
                ratio(comparison.cpu_ratio),
                str(difference.n_seeds),
            )
        )
    return Table(
        title=f"{readable(choice.name)} against others",
        columns=(
            Column(label="against", help="chosen on the validation images, too"),
            Column(label="which is"),
            Column(label="the cascade is", help=f"by the {LEVEL_WORDS} interval"),
            Column(
                label="difference, points",
                help="cascade - other on the same test images and seeds, paired bootstrap",
            ),
            Column(label="other's test %", help="mean ± standard deviation over the seeds"),
            Column(label="MACs", help="cascade's by the other's"),
            Column(label="CPU", help="cascade's by the other's"),
            Column(label="seeds", help="that both have"),
        ),
        rows=tuple(rows),
        words=3,
    )


def _test_accuracy(system: SystemRecord | MixtureRecord) -> Spread:
    return system.test_accuracy if isinstance(system, MixtureRecord) else system.test.accuracy


def pool_table(evaluation: CascadeEvaluation) -> Table:
    """List all networks."""
    system = chosen(evaluation).system
    parts = {system.a: "A", system.b: "B"}
    return Table(
        title="Networks",
        columns=(
            Column(label="network"),
            Column(label="role"),
            Column(label="parameters"),
            Column(label="MACs", help="multiply-accumulates per image"),
            Column(label="CPU µs", help="CPU time per image at batch 1"),
            Column(label="validation %", help="mean ± standard deviation over the seeds"),
            Column(label="test %", help="mean ± standard deviation over the seeds"),
            Column(label="temperature", help="fitted on the validation images, mean"),
            Column(label="ECE before %", help="expected calibration error on the test images"),
            Column(label="ECE after %", help="the same after temperature scaling"),
            Column(label="AURC %", help="area under the risk-coverage curve, lower is better"),
            Column(label="seeds"),
        ),
        rows=tuple(_network_row(network, parts) for network in evaluation.networks),
        words=2,
    )


def _network_row(network: NetworkRecord, parts: dict[str | None, str]) -> Row:
    part = parts.get(network.architecture, "")
    role = ROLE_WORDS[network.role]
    return row(
        network.architecture,
        f"{part} ({role})" if part else role,
        integer(network.parameters),
        magnitude(network.macs),
        microseconds(network.cpu_us),
        spread_cell(network.validation_accuracy),
        spread_cell(network.test_accuracy),
        f"{network.temperature.mean:.2f}",
        spread_cell(network.test_ece_before),
        spread_cell(network.test_ece_after),
        spread_cell(network.test_aurc),
        str(len(network.test_accuracy.seeds)),
        marked=bool(part) or network.role == "reference",
    )


def calibration_table(evaluation: CascadeEvaluation) -> Table:
    """List calibration errors and areas under the risk-coverage curves."""
    rows = []
    for part in evaluation.detail.parts:
        difference = part.aurc_cascade_minus_this
        rows.append(
            row(
                part_title(evaluation, part.part),
                spread_cell(part.ece_before),
                spread_cell(part.ece_after),
                Cell(text=percent(part.aurc.value, 3), small=_interval(part.aurc)),
                DASH
                if difference is None
                else Cell(
                    text=points(difference.value, 3),
                    small=f"[{points(difference.low, 3)}, {points(difference.high, 3)}]",
                ),
                str(part.aurc.n_seeds),
                marked=part.part == "cascade",
            )
        )
    return Table(
        title="Calibration and risk",
        columns=(
            Column(label="part"),
            Column(label="ECE before %", help="expected calibration error, mean ± std over seeds"),
            Column(label="ECE after %", help="the same after temperature scaling"),
            Column(label="AURC %", help=f"lower is better, {LEVEL_WORDS} interval"),
            Column(
                label="cascade's AURC minus this",
                help=f"percentage points, paired, {LEVEL_WORDS} interval; below 0: better",
            ),
            Column(label="seeds", help="of the area and the difference"),
        ),
        rows=tuple(rows),
    )


def _interval(interval: Interval) -> str:
    return f"[{percent(interval.low, 3)}, {percent(interval.high, 3)}]"


def complementarity_table(evaluation: CascadeEvaluation) -> Table:
    """List every pair of networks, the most complementary first."""
    record = evaluation.complementarity
    pairs = [(i, j) for i in range(len(record.architectures)) for j in range(i)]
    pairs.sort(key=lambda pair: -record.paper[pair[0]][pair[1]])
    return Table(
        title="All pairs",
        columns=(
            Column(label="network"),
            Column(label="network"),
            Column(label="complementarity %", help="the paper's: 2 min(|A only|, |B only|) / N"),
            Column(label="released code's %", help="(|A only| + |B only|) / N"),
            Column(label="oracle %", help="share of images that at least one gets right"),
            Column(label="seeds"),
        ),
        rows=tuple(
            row(
                record.architectures[j],
                record.architectures[i],
                percent(record.paper[i][j]),
                percent(record.released_code[i][j]),
                percent(record.oracle_accuracy[i][j]),
                str(record.n_seeds[i][j]),
            )
            for i, j in pairs
        ),
        words=2,
    )

"""Tables of an evaluation, for the report and the terminal."""

from __future__ import annotations

from collections import Counter

from bicameral.tables import (
    Cell,
    Row,
    Table,
    columns,
    estimate_cell,
    integer,
    magnitude,
    microseconds,
    percent,
    percent_cell,
    points,
    points_cell,
    ratio,
    row,
)
from models.cascade.results import (
    CascadeEvaluation,
    ChoiceRecord,
    MixtureRecord,
    PartRecord,
    Spread,
    SystemRecord,
)
from models.cascade.wording import (
    FAMILY_WORDS,
    LEVEL_WORDS,
    OPPONENT_WORDS,
    ROLE_WORDS,
    cost_text,
    expected_cost,
    part_title,
    policy_text,
    readable,
    requirement_text,
    system_title,
    verdict,
)

#: Longer lists of classes and confusions end here.
_LISTED = 20


def spread_cell(spread: Spread) -> Cell:
    """Write a share's mean and standard deviation over the seeds, in percent."""
    deviation = "" if spread.std is None else f"± {percent(spread.std)}"
    return Cell(text=percent(spread.mean), small=deviation)


def choice_table(evaluation: CascadeEvaluation) -> Table:
    """List what can be had: the request and the presets; the one that ships is marked."""
    return Table(
        title="Choices",
        columns=columns(
            "choice|name of the preset, or the request",
            "asked for|on the validation images",
            "cascade|A → B, and when B is asked",
            "validation %|mean over the seeds; it was chosen by this figure",
            f"test %|mean over the seeds, {LEVEL_WORDS} interval",
            "B asked %|share of the test images that B saw",
            "MACs|expected per test image, and by the reference's",
            "CPU µs|expected per test image, and by the reference's",
            "minus reference|points on the test images, paired",
            "optimism|points by which choosing flatters the validation accuracy, by split halves",
            words=3,
        ),
        rows=tuple(_choice_row(evaluation, choice) for choice in evaluation.choices),
    )


def _choice_row(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Row:
    name = Cell(text=readable(choice.name), small=FAMILY_WORDS[choice.family])
    wanted = requirement_text(choice.requirement, evaluation.cost)
    system = choice.system
    if system is None:
        return row(name, wanted, Cell(text=f"Not met: {choice.unmet}.", span=8))
    reference = next((c for c in choice.comparisons if c.against == "reference"), None)
    policy = policy_text(system, evaluation.detail.shipped_seed)
    macs, cpu = system.test.expected_macs, system.test.expected_cpu_us
    cpu_ratio = reference.cpu_ratio if reference else None
    allowed = f"allowed for {points(choice.allowance)}" if choice.allowance else ""
    return row(
        name,
        wanted,
        Cell(text=system_title(system), small=policy),
        spread_cell(system.validation.accuracy),
        percent_cell(choice.test_accuracy),
        percent(system.test.usage.mean, 1),
        Cell(text=magnitude(macs), small=ratio(reference.macs_ratio if reference else None)),
        Cell(text=microseconds(cpu), small="" if cpu_ratio is None else ratio(cpu_ratio)),
        points_cell(reference.accuracy_difference if reference else None),
        Cell(text=points(choice.optimism.expected), small=allowed),
        marked=choice.name == evaluation.detail.choice,
    )


def comparison_table(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Table:
    """Compare one choice with its opponents."""
    rows = []
    for comparison in choice.comparisons:
        opponent, difference = comparison.opponent, comparison.accuracy_difference
        policy = policy_text(opponent, evaluation.detail.shipped_seed)
        accuracy = (
            opponent.test_accuracy
            if isinstance(opponent, MixtureRecord)
            else opponent.test.accuracy
        )
        rows.append(
            row(
                OPPONENT_WORDS[comparison.against],
                Cell(text=system_title(opponent), small=policy),
                verdict(difference),
                points_cell(difference),
                spread_cell(accuracy),
                ratio(comparison.macs_ratio),
                ratio(comparison.cpu_ratio),
                difference.seeds,
            )
        )
    return Table(
        title=f"{readable(choice.name)} against others",
        columns=columns(
            "against|chosen on the validation images, too",
            "which is",
            f"the cascade is|by the {LEVEL_WORDS} interval",
            "difference, points|cascade - other on the same test images and seeds, paired",
            "other's test %|mean ± standard deviation over the seeds",
            "MACs|cascade's by the other's",
            "CPU|cascade's by the other's",
            "seeds|that both have",
            words=3,
        ),
        rows=tuple(rows),
    )


def pool_table(evaluation: CascadeEvaluation) -> Table:
    """List all networks; A, B and the reference are marked."""
    system = evaluation.shipped_system
    parts = {system.a: "A", system.b: "B"}
    rows = []
    for network in evaluation.networks:
        part, role = parts.get(network.architecture, ""), ROLE_WORDS[network.role]
        rows.append(
            row(
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
                len(network.test_accuracy.seeds),
                marked=bool(part) or network.role == "reference",
            )
        )
    return Table(
        title="Networks",
        columns=columns(
            "network",
            "role",
            "parameters",
            "MACs|multiply-accumulates per image",
            "CPU µs|CPU time per image at batch 1",
            "validation %|mean ± standard deviation over the seeds",
            "test %|mean ± standard deviation over the seeds",
            "temperature|fitted on the validation images, mean",
            "ECE before %|expected calibration error on the test images",
            "ECE after %|the same after temperature scaling",
            "AURC %|area under the risk-coverage curve, lower is better",
            "seeds",
            words=2,
        ),
        rows=tuple(rows),
    )


def front_table(evaluation: CascadeEvaluation) -> Table:
    """List the points of all fronts."""
    kinds: dict[str, tuple[SystemRecord, ...]] = {
        "single network": evaluation.single_front,
        "pair": evaluation.front,
        "big-little": evaluation.big_little_front,
    }
    cost = evaluation.cost
    return Table(
        title="Points of the fronts",
        columns=columns(
            "front",
            "networks",
            "B is asked where, answers become",
            "validation %",
            "test %",
            "B asked, test %",
            "cost, validation",
            "cost, test",
            words=3,
        ),
        rows=tuple(
            row(
                kind,
                system_title(system),
                policy_text(system, evaluation.detail.shipped_seed),
                spread_cell(system.validation.accuracy),
                spread_cell(system.test.accuracy),
                percent(system.test.usage.mean, 1),
                cost_text(expected_cost(system.validation, cost), cost),
                cost_text(expected_cost(system.test, cost), cost),
            )
            for kind, systems in kinds.items()
            for system in systems
        ),
    )


def calibration_table(evaluation: CascadeEvaluation) -> Table:
    """List calibration errors and areas under the risk-coverage curves."""
    return Table(
        title="Calibration and risk",
        columns=columns(
            "part",
            "ECE before %|expected calibration error, mean ± std over seeds",
            "ECE after %|the same after temperature scaling",
            f"AURC %|lower is better, {LEVEL_WORDS} interval",
            f"cascade's AURC minus this|points, paired, {LEVEL_WORDS} interval; below 0: better",
            "seeds|of the area and the difference",
        ),
        rows=tuple(
            row(
                part_title(evaluation, part.part),
                spread_cell(part.ece_before),
                spread_cell(part.ece_after),
                percent_cell(part.aurc, 3),
                estimate_cell(part.aurc_cascade_minus_this, 3, factor=100.0, signed=True),
                part.aurc.seeds,
                marked=part.part == "cascade",
            )
            for part in evaluation.detail.parts
        ),
    )


def complementarity_table(evaluation: CascadeEvaluation) -> Table:
    """List every pair of networks, the most complementary first."""
    record = evaluation.complementarity
    pairs = [(i, j) for i in range(len(record.architectures)) for j in range(i)]
    pairs.sort(key=lambda pair: -record.paper[pair[0]][pair[1]])
    return Table(
        title="All pairs",
        columns=columns(
            "network",
            "network",
            "complementarity %|the paper's: 2 min(|A only|, |B only|) / N",
            "released code's %|(|A only| + |B only|) / N",
            "oracle %|share of images that at least one gets right",
            "seeds",
            words=2,
        ),
        rows=tuple(
            row(
                record.architectures[j],
                record.architectures[i],
                percent(record.paper[i][j]),
                percent(record.released_code[i][j]),
                percent(record.oracle_accuracy[i][j]),
                record.n_seeds[i][j],
            )
            for i, j in pairs
        ),
    )


def change_table(evaluation: CascadeEvaluation) -> Table:
    """Count the images that B rescued and broke by their true class, the most changed first."""
    changes = evaluation.detail.changes
    rescued = Counter(image.label for image in changes.rescued_images)
    broken = Counter(image.label for image in changes.broken_images)
    return Table(
        title="By true class",
        columns=columns("true class", "rescued", "broken", "net"),
        rows=tuple(
            row(
                evaluation.labels[label],
                rescued[label],
                broken[label],
                f"{rescued[label] - broken[label]:+d}",
            )
            for label, _ in (rescued + broken).most_common(_LISTED)
        ),
    )


def wrong_answers(part: PartRecord) -> int:
    """Count a part's wrong answers."""
    return sum(sum(line) - line[i] for i, line in enumerate(part.confusion))


def confusion_table(evaluation: CascadeEvaluation, part: PartRecord) -> Table:
    """List a part's most frequent confusions."""
    counts = [
        (count, i, j)
        for i, line in enumerate(part.confusion)
        for j, count in enumerate(line)
        if i != j and count
    ]
    counts.sort(key=lambda entry: -entry[0])
    wrong = integer(wrong_answers(part))
    return Table(
        title=f"{part_title(evaluation, part.part)}: {wrong} wrong answers",
        columns=columns("true class", "answer", "images", words=2),
        rows=tuple(
            row(evaluation.labels[i], evaluation.labels[j], integer(count))
            for count, i, j in counts[:_LISTED]
        ),
        note=f"{part_title(evaluation, part.part)}: {wrong} wrong answers",
    )

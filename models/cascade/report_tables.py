"""Tables of an evaluation, for the report and the terminal: what each shows is a list of fields."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bicameral.tables import (
    DASH,
    Cell,
    Row,
    Table,
    columns,
    integer,
    list_table,
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
    NetworkRecord,
    PartRecord,
    SplitRecord,
    Spread,
    SystemRecord,
)
from models.cascade.wording import (
    LEVEL_WORDS,
    OPPONENT_WORDS,
    SIZE_WORDS,
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


def usage_text(split: SplitRecord) -> str:
    """Write which share of the images each network but the first saw, in percent."""
    return " / ".join(percent(one.mean, 1) for one in split.usage) or DASH


def choice_table(evaluation: CascadeEvaluation) -> Table:
    """List what can be had: the request and the presets; the one that ships is marked."""

    def line(choice: ChoiceRecord) -> Row:
        size = len(choice.system.networks) if choice.system else 0
        name = Cell(text=readable(choice.name), small=SIZE_WORDS.get(size, ""))
        asked = requirement_text(choice.requirement, evaluation.cost)
        system, by = choice.system, choice.against("reference")
        if system is None or by is None:
            return row(name, asked, f"Not met: {choice.unmet}.", *[None] * 8)
        cpu_ratio = "" if by.cpu_ratio is None else ratio(by.cpu_ratio)
        single = choice.against("best_single_at_cost")
        return row(
            name,
            asked,
            _system_cell(evaluation, system),
            spread_cell(system.validation.accuracy),
            percent_cell(choice.test_accuracy),
            usage_text(system.test),
            Cell(text=magnitude(system.test.expected_macs), small=ratio(by.macs_ratio)),
            Cell(text=microseconds(system.test.expected_cpu_us), small=cpu_ratio),
            points_cell(by.accuracy_difference),
            points_cell(single.accuracy_difference if single else None),
            Cell(
                text=percent(choice.stability.halves_agree, 0),
                small=f"optimism {points(choice.stability.expected)}",
            ),
            marked=choice.name == evaluation.detail.choice,
        )

    return Table(
        title="Choices",
        columns=columns(
            "choice|name of the preset, or the request",
            "asked for|on the validation images",
            "system|its networks, and when the next one is asked",
            "validation %|mean over the seeds; it was chosen by this figure",
            f"test %|mean over the seeds, {LEVEL_WORDS} interval",
            "asked %|share of the test images that each network but the first saw",
            "MACs|expected per test image, and by the reference's",
            "CPU µs|expected per test image, and by the reference's",
            "minus reference|points on the test images, paired",
            "minus best single|points, against the best single network of no more cost",
            "stable %|splits of the validation images whose halves choose the same networks",
            words=3,
        ),
        rows=tuple(map(line, evaluation.choices)),
    )


def _system_cell(evaluation: CascadeEvaluation, system: SystemRecord) -> Cell:
    policy = policy_text(system, evaluation.detail.shipped_seed)
    return Cell(text=system_title(system), small=policy)


def comparison_table(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Table:
    """Compare one choice with its opponents."""
    return list_table(
        f"{readable(choice.name)} against others",
        choice.comparisons,
        {
            "against|chosen on the validation images, too": lambda c: OPPONENT_WORDS[c.against],
            "which is": lambda c: _system_cell(evaluation, c.opponent),
            f"the cascade is|by the {LEVEL_WORDS} interval": lambda c: verdict(
                c.accuracy_difference
            ),
            "difference, points|cascade - other on the same test images and seeds, paired": (
                lambda c: points_cell(c.accuracy_difference)
            ),
            "other's test %|mean ± standard deviation over the seeds": lambda c: spread_cell(
                c.opponent.test.accuracy
            ),
            "MACs|cascade's by the other's": lambda c: ratio(c.macs_ratio),
            "CPU|cascade's by the other's": lambda c: ratio(c.cpu_ratio),
            "seeds|that both have": lambda c: c.accuracy_difference.seeds,
        },
        words=3,
    )


def pool_table(evaluation: CascadeEvaluation) -> Table:
    """List all networks; those of the system and the reference are marked."""
    system = evaluation.shipped_system
    parts = dict(zip(system.networks, "ABC", strict=False))

    def role(network: NetworkRecord) -> str:
        part, words = parts.get(network.architecture), readable(network.role)
        return f"{part} ({words})" if part else words

    over_seeds = "mean ± standard deviation over the seeds"
    return list_table(
        "Networks",
        evaluation.networks,
        {
            "network": lambda n: n.architecture,
            "role": role,
            "parameters": lambda n: integer(n.parameters),
            "MACs|multiply-accumulates per image": lambda n: magnitude(n.macs),
            "CPU µs|CPU time per image at batch 1": lambda n: microseconds(n.cpu_us),
            f"validation %|{over_seeds}": lambda n: spread_cell(n.validation_accuracy),
            f"test %|{over_seeds}": lambda n: spread_cell(n.test_accuracy),
            "temperature|fitted on the validation images, mean": lambda n: (
                f"{n.temperature.mean:.2f}"
            ),
            "ECE before %|expected calibration error on the test images": lambda n: spread_cell(
                n.test_ece_before
            ),
            "ECE after %|the same after temperature scaling": lambda n: spread_cell(
                n.test_ece_after
            ),
            "AURC %|area under the risk-coverage curve, lower is better": lambda n: spread_cell(
                n.test_aurc
            ),
            "seeds": lambda n: len(n.test_accuracy.seeds),
        },
        words=2,
        marked=lambda n: n.architecture in parts or n.role == "reference",
    )


def front_table(evaluation: CascadeEvaluation) -> Table:
    """List the points of all fronts."""
    kinds = dict(zip(SIZE_WORDS.values(), evaluation.fronts, strict=False))
    return list_table(
        "Points of the fronts",
        [(kind, system) for kind, systems in kinds.items() for system in systems],
        {
            "front": lambda point: point[0],
            "networks|and when the next one is asked": lambda point: _system_cell(
                evaluation, point[1]
            ),
            "validation %": lambda point: spread_cell(point[1].validation.accuracy),
            "test %": lambda point: spread_cell(point[1].test.accuracy),
            "asked, test %": lambda point: usage_text(point[1].test),
            "MACs, validation": lambda point: magnitude(point[1].validation.expected_macs),
            "MACs, test": lambda point: magnitude(point[1].test.expected_macs),
            "CPU µs, test": lambda point: microseconds(point[1].test.expected_cpu_us),
        },
        words=2,
    )


def calibration_table(evaluation: CascadeEvaluation) -> Table:
    """List calibration errors and areas under the risk-coverage curves."""
    return list_table(
        "Calibration and risk",
        evaluation.detail.parts,
        {
            "part": lambda part: part_title(evaluation, part.part),
            "ECE before %|expected calibration error, mean ± std over seeds": (
                lambda part: spread_cell(part.ece_before)
            ),
            "ECE after %|the same after temperature scaling": lambda part: spread_cell(
                part.ece_after
            ),
            f"AURC %|lower is better, {LEVEL_WORDS} interval": lambda part: percent_cell(
                part.aurc, 3
            ),
            f"cascade's AURC minus this|points, paired, {LEVEL_WORDS} interval; below 0: better": (
                lambda part: points_cell(part.aurc_cascade_minus_this, 3)
            ),
            "seeds|of the area and the difference": lambda part: part.aurc.seeds,
        },
        marked=lambda part: part.part == "cascade",
    )


def complementarity_table(evaluation: CascadeEvaluation) -> Table:
    """List every pair of networks, the most complementary first."""
    record = evaluation.complementarity
    pairs = [(i, j) for i in range(len(record.architectures)) for j in range(i)]
    pairs.sort(key=lambda pair: -record.paper[pair[0]][pair[1]])
    return list_table(
        "All pairs",
        pairs,
        {
            "A": lambda pair: record.architectures[pair[1]],
            "B": lambda pair: record.architectures[pair[0]],
            "complementarity %|the paper's: 2 min(|A only|, |B only|) / N": lambda pair: percent(
                record.paper[pair[0]][pair[1]]
            ),
            "released code's %|(|A only| + |B only|) / N": lambda pair: percent(
                record.released_code[pair[0]][pair[1]]
            ),
            "oracle %|share of images that at least one gets right": lambda pair: percent(
                record.oracle_accuracy[pair[0]][pair[1]]
            ),
            "seeds": lambda pair: record.n_seeds[pair[0]][pair[1]],
        },
        words=2,
    )


def change_table(evaluation: CascadeEvaluation) -> Table:
    """Count by their true class the images that asking further rescued and broke."""
    changes = evaluation.detail.changes
    rescued = Counter(image.label for image in changes.rescued_images)
    broken = Counter(image.label for image in changes.broken_images)
    return list_table(
        "By true class",
        [label for label, _ in (rescued + broken).most_common(_LISTED)],
        {
            "true class": lambda label: evaluation.labels[label],
            "rescued": lambda label: rescued[label],
            "broken": lambda label: broken[label],
            "net": lambda label: f"{rescued[label] - broken[label]:+d}",
        },
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
    title = f"{part_title(evaluation, part.part)}: {integer(wrong_answers(part))} wrong answers"
    table = list_table(
        title,
        counts[:_LISTED],
        {
            "true class": lambda entry: evaluation.labels[entry[1]],
            "answer": lambda entry: evaluation.labels[entry[2]],
            "images": lambda entry: integer(entry[0]),
        },
        words=2,
    )
    return replace(table, note=title)

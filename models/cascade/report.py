"""The report of a cascade: what ships, what it is worth, and what that rests on, on one page."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from bicameral.files import write_bytes_atomic, write_json_atomic
from bicameral.page import (
    Block,
    Code,
    Folded,
    Page,
    Section,
    SideBySide,
    Tile,
    render_page,
)
from bicameral.tables import (
    facts_table,
    integer,
    magnitude,
    microseconds,
    percent,
    percent_cell,
    points,
    ratio,
)
from models.cascade.report_figures import (
    complementarity_figure,
    confusion_figure,
    pareto_figure,
    reliability_figure,
    risk_coverage_figure,
    usage_figures,
)
from models.cascade.report_tables import (
    calibration_table,
    change_table,
    choice_table,
    comparison_table,
    confusion_table,
    pool_table,
)
from models.cascade.results import (
    CascadeEvaluation,
    OpponentName,
    Spread,
)
from models.cascade.thumbnails import check_images, gallery
from models.cascade.wording import (
    COMBINATION_WORDS,
    COST_WORDS,
    LEVEL_WORDS,
    SCORE_WORDS,
    SIZE_WORDS,
    comparison_sentence,
    cost_text,
    readable,
    requirement_text,
    seeds_text,
    system_title,
    threshold_text,
)
from models.data.dataset import LabelledImages
from models.host import Provenance

EVALUATION_NAME = "evaluation.json"
REPORT_NAME = "report.html"

#: Comparisons that decide whether it is worth having, the headline first.
_DECISIVE: tuple[OpponentName, ...] = (
    "best_single_at_cost",
    "reference",
    "best_pair_at_cost",
    "paper_choice",
)

#: With more classes a matrix is no longer readable: the most frequent confusions are listed.
MAX_MATRIX_CLASSES = 20


def write_results(
    folder: Path, evaluation: CascadeEvaluation, images: LabelledImages, provenance: Provenance
) -> Path:
    """Write the folder in which an evaluation ends: `EVALUATION_NAME`, and the report beside it.

    Args:
        folder: Where to write.
        evaluation: What to write.
        images: The test images of its data set, in their order.
        provenance: Where it came from.

    Returns:
        The report: one self-contained HTML file.

    Raises:
        DataError: If the images are of another data set than the evaluation; nothing is written.
        OSError: If a file cannot be written.
    """
    check_images(evaluation, images)
    write_json_atomic(folder / EVALUATION_NAME, asdict(evaluation))
    # Class names come from folders, whose names need not be valid Unicode.
    labels = tuple(label.encode("utf-8", "replace").decode() for label in evaluation.labels)
    page = cascade_page(replace(evaluation, labels=labels), images, provenance)
    path = folder / REPORT_NAME
    write_bytes_atomic(path, render_page(page).encode("utf-8", "replace"))
    return path


def cascade_page(
    evaluation: CascadeEvaluation, images: LabelledImages, provenance: Provenance
) -> Page:
    """Lay out the report."""
    several = len(evaluation.shipped_system.networks) > 1
    decisive = (evaluation.shipped.against(name) for name in _DECISIVE)
    return Page(
        title=f"{verdict_text(evaluation)} on {evaluation.dataset}",
        lead=_lead(evaluation),
        sentences=[comparison_sentence(one) for one in decisive if one is not None],
        tiles=_tiles(evaluation, provenance),
        notes=evaluation.notes,
        sections=(
            Section(title="Accuracy and cost", blocks=[pareto_figure(evaluation)]),
            Section(title="Choices", blocks=_choices(evaluation)),
            Section(
                title="Networks",
                blocks=[
                    "All networks of the pool, cheapest first, with the mean over their seeds ± "
                    "its standard deviation. Calibration and AURC are of the test images.",
                    pool_table(evaluation),
                ],
            ),
            Section(
                title="Complementarity",
                blocks=[
                    *_complementarity(evaluation),
                    complementarity_figure(evaluation),
                ],
            ),
            Section(title="Confidence", blocks=_confidence(evaluation)),
            *(
                [Section(title="What asking further changed", blocks=_changes(evaluation, images))]
                if several
                else []
            ),
            Section(title="Confusions", blocks=_confusions(evaluation)),
            Section(title="How it was made", blocks=_made(evaluation, provenance)),
        ),
    )


def verdict_text(evaluation: CascadeEvaluation) -> str:
    """Say in a line what came out: one network is enough, a pair, or three stages."""
    system = evaluation.shipped_system
    if len(system.networks) == 1:
        return f"One network is enough: {system_title(system)}"
    return f"{SIZE_WORDS[len(system.networks)].capitalize()}: {system_title(system)}"


def _lead(evaluation: CascadeEvaluation) -> str:
    choice, system = evaluation.shipped, evaluation.shipped_system
    seed = evaluation.detail.shipped_seed
    parts = [f"A = {system.networks[0]} answers every image."]
    for letter, name, threshold in zip("BC", system.networks[1:], system.thresholds, strict=False):
        assert system.score is not None  # noqa: S101 - a cascade has a policy
        assert system.combine is not None  # noqa: S101
        parts.append(
            f"Where its {SCORE_WORDS[system.score]} is below {threshold_text(threshold, seed)}, "
            f"{letter} = {name} is asked too, and {COMBINATION_WORDS[system.combine]}."
            if letter == "B"
            else f"Where that one's is below {threshold_text(threshold, seed)}, {letter} = {name} "
            "is asked as well."
        )
    parts.append(
        f"Chosen as “{readable(choice.name)}” "
        f"({requirement_text(choice.requirement, evaluation.cost)}) among "
        f"{integer(evaluation.systems)} systems of one to three networks on "
        f"{integer(evaluation.n_validation)} validation images; figures are of the "
        f"{integer(evaluation.n_test)} test images unless they say otherwise."
    )
    return " ".join(parts)


def _complementarity(evaluation: CascadeEvaluation) -> list[Block]:
    detail = evaluation.detail
    if detail.complementarity_test is None:
        return []
    return [
        "On the test images the complementarity of A and B is "
        f"{percent(detail.complementarity_test.mean)} % and the oracle accuracy of all networks "
        f"{percent(detail.oracle_accuracy_test.mean)} %."
    ]


def _tiles(evaluation: CascadeEvaluation, provenance: Provenance) -> tuple[Tile, ...]:
    choice, test = evaluation.shipped, evaluation.shipped_system.test
    accuracy, shipped = (
        percent_cell(choice.test_accuracy),
        percent_cell(choice.shipped_seed_accuracy),
    )
    reference = choice.against("reference")
    assert reference is not None  # noqa: S101 - every choice is compared with it
    of = reference.opponent.test
    seeds = len(test.accuracy.seeds)
    cpu_note = "CPU time was not measured for every network"
    if test.expected_cpu_us is not None:
        cpu_note = (
            f"{microseconds(test.expected_cpu_us)} µs expected per image; the reference: "
            f"{cost_text(of.expected_cpu_us, 'cpu_us')}"
        )
    return (
        Tile(
            value=f"{accuracy.text} %",
            label=f"accuracy {accuracy.small}",
            note=f"mean of {seeds_text(seeds)}, {LEVEL_WORDS} interval; the shipped seed "
            f"{evaluation.detail.shipped_seed}: {shipped}",
        ),
        Tile(
            value=ratio(reference.macs_ratio),
            label="of the reference's multiply-accumulates",
            note=f"{magnitude(test.expected_macs)} expected per image; the reference "
            f"{evaluation.reference}: {cost_text(of.expected_macs, 'macs')}",
        ),
        Tile(value=ratio(reference.cpu_ratio), label="of the reference's CPU time", note=cpu_note),
        *(
            Tile(
                value=f"{percent(on_test.mean, 1)} %",
                label=f"of the images ask {letter}",
                note=f"{percent(on_validation.mean, 1)} % of the validation images",
            )
            for letter, on_test, on_validation in zip(
                "BC", test.usage, evaluation.shipped_system.validation.usage, strict=False
            )
        ),
        Tile(
            value=f"{integer(evaluation.n_test)} × {seeds}",
            label="test images × seeds",
            note=provenance.host,
        ),
    )


def _choices(evaluation: CascadeEvaluation) -> list[Block]:
    blocks: list[Block] = [
        "Each was chosen on the validation images for what it was asked; the one that ships is "
        f"marked. Intervals are {LEVEL_WORDS} intervals over test images and seeds.",
        choice_table(evaluation),
        "Differences are the cascade's accuracy minus the other's on the same test images and "
        "seeds; an interval that holds 0 shows no difference. Costs are the cascade's by the "
        "other's.",
    ]
    for choice in evaluation.choices:
        if choice.comparisons:
            table = comparison_table(evaluation, choice)
            ships = choice.name == evaluation.detail.choice
            blocks.append(Folded(summary=table.title, blocks=[table], open=ships))
    return blocks


def _confidence(evaluation: CascadeEvaluation) -> list[Block]:
    return [
        "Temperature scaling was fitted on the validation images; the diagrams show the test "
        f"images for seed {evaluation.detail.shipped_seed}. The area of a mark is its share of the "
        "images; on the dashed diagonal, confidence means what it says.",
        SideBySide(blocks=[reliability_figure(evaluation, p) for p in evaluation.detail.parts]),
        calibration_table(evaluation),
        SideBySide(blocks=[risk_coverage_figure(evaluation), *usage_figures(evaluation)]),
    ]


def _changes(evaluation: CascadeEvaluation, images: LabelledImages) -> list[Block]:
    changes = evaluation.detail.changes
    return [
        f"Of {integer(evaluation.n_test)} test images B was asked about {_counted(changes.asked)}; "
        f"asking rescued {_counted(changes.rescued)} and broke {_counted(changes.broken)} "
        f"({seeds_text(len(changes.asked.seeds))}). What follows is of seed "
        f"{evaluation.detail.shipped_seed}.",
        change_table(evaluation),
        *gallery("Rescued", changes.rescued_images, evaluation.labels, images),
        *gallery("Broken", changes.broken_images, evaluation.labels, images),
    ]


def _counted(counts: Spread) -> str:
    if counts.std is None:
        return integer(counts.mean)
    return f"{counts.mean:,.1f} ± {counts.std:.1f}"


def _confusions(evaluation: CascadeEvaluation) -> list[Block]:
    parts = evaluation.detail.parts
    seed = f"Test images of seed {evaluation.detail.shipped_seed}."
    if len(evaluation.labels) <= MAX_MATRIX_CLASSES:
        return [
            f"{seed} Rows are true classes, columns answers; the more often a class is mistaken "
            "for another, the darker is the cell.",
            SideBySide(blocks=[confusion_figure(evaluation, part) for part in parts]),
        ]
    return [
        f"{seed} The classes are too many for a matrix: these are the most frequent confusions.",
        SideBySide(blocks=[confusion_table(evaluation, part) for part in parts]),
    ]


def _made(evaluation: CascadeEvaluation, provenance: Provenance) -> list[Block]:
    choice = evaluation.shipped
    found = choice.stability
    facts = [
        ("data set", evaluation.dataset),
        ("sha256 of data set and split", evaluation.dataset_sha256),
        ("validation images", integer(evaluation.n_validation)),
        ("test images", integer(evaluation.n_test)),
        ("classes", integer(len(evaluation.labels))),
        ("seeds that decided", ", ".join(map(str, evaluation.selection_seeds))),
        ("systems compared", integer(evaluation.systems)),
        ("cost that decided", COST_WORDS[evaluation.cost]),
        ("largest share after A", f"{percent(evaluation.max_usage, 0)} %"),
        (
            "stability of the choice",
            f"both halves of the validation images choose the same networks in "
            f"{percent(found.halves_agree, 0)} % of {found.splits} random splits "
            f"({found.splits_tried} tried); a half chooses what all images choose in "
            f"{percent(found.same_networks, 0)} %",
        ),
        (
            "what another choice would have cost",
            f"{points(found.regret)} points: what all images choose minus what a half chooses, "
            "on the other half",
        ),
        (
            "optimism of choosing",
            f"{points(found.expected)} points expected on the validation images "
            f"({points(found.half_gap)} ± {percent(found.standard_error)} between halves)",
        ),
        (
            "intervals",
            f"{LEVEL_WORDS}, {integer(evaluation.replicates)} replicates of a paired bootstrap "
            "over images and seeds",
        ),
        ("CPU times measured on", provenance.host),
        ("made at", provenance.created_at),
        ("schema of the record", str(evaluation.schema)),
        *sorted(provenance.versions.items()),
    ]
    return [
        facts_table("How it was made", facts),
        "Command:",
        Code(text=provenance.command),
    ]

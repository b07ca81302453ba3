"""From logits to the record: what is chosen, what is measured, and that the two never mix."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError, UserError
from bicameral.files import write_json_atomic
from bicameral.statistics import Resampling
from models.cascade.evaluation import evaluate_cascade
from models.cascade.plan import EvaluationSettings
from models.cascade.results import (
    CascadeEvaluation,
    ChoiceRecord,
    ComparisonRecord,
)
from models.cascade.search import MaxCost, MinAccuracy
from models.classifiers.logits import PoolLogits
from models.records import read_record

pytestmark = pytest.mark.unit

SETTINGS = EvaluationSettings(
    references=("large", "huge"),
    requirement=MinAccuracy(accuracy=0.86),
    reference_tolerance=0.01,
    splits=5,
    resampling=Resampling(replicates=200),
)


@pytest.fixture(scope="module")
def evaluation(pool: PoolLogits) -> CascadeEvaluation:
    return evaluate_cascade(pool, SETTINGS)


def _choice(evaluation: CascadeEvaluation, name: str) -> ChoiceRecord:
    return next(choice for choice in evaluation.choices if choice.name == name)


def _comparison(choice: ChoiceRecord, against: str) -> ComparisonRecord:
    return next(record for record in choice.comparisons if record.against == against)


def test_a_record_survives_its_file(evaluation: CascadeEvaluation, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_json_atomic(path, asdict(evaluation))
    assert read_record(path, CascadeEvaluation, what="evaluation", remedy="") == evaluation
    path.write_text('{"schema": 1}')
    with pytest.raises(DataError, match=r"evaluation\.json is no evaluation"):
        read_record(path, CascadeEvaluation, what="evaluation", remedy="")


def test_other_test_images_choose_nothing_else(
    pool: PoolLogits, evaluation: CascadeEvaluation
) -> None:
    rng = np.random.default_rng(0)
    shuffled = replace(pool, test_labels=rng.permutation(pool.test_labels))
    other = evaluate_cascade(shuffled, SETTINGS)
    assert other.reference == evaluation.reference
    for front, again in zip(evaluation.fronts, other.fronts, strict=True):
        chosen, same = (
            [(s.networks, s.score, s.combine, s.thresholds, s.validation) for s in systems]
            for systems in (front, again)
        )
        assert chosen == same
    for choice, again in zip(evaluation.choices, other.choices, strict=True):
        assert choice.stability == again.stability
        assert (choice.system is None) == (again.system is None)
        if choice.system and again.system:
            assert choice.system.thresholds == again.system.thresholds
            assert choice.system.test.accuracy != again.system.test.accuracy


def test_the_request_comes_first_and_is_what_ships(evaluation: CascadeEvaluation) -> None:
    first = evaluation.choices[0]
    assert first.name == evaluation.detail.choice == "requested"
    assert first.system is not None
    assert first.system.validation.accuracy.mean >= 0.86 - 1e-6


def test_without_a_request_the_first_preset_that_can_be_met_ships(pool: PoolLogits) -> None:
    default = evaluate_cascade(pool, replace(SETTINGS, requirement=None))
    met = [choice.name for choice in default.choices if choice.system is not None]
    assert default.detail.choice == met[0] == "near_reference"


def test_a_request_that_cannot_be_met_is_an_error_with_what_can(pool: PoolLogits) -> None:
    with pytest.raises(UserError, match="nothing costs at most 5 MACs"):
        evaluate_cascade(pool, replace(SETTINGS, requirement=MaxCost(cost=5.0)))


def test_roles_follow_from_the_references(evaluation: CascadeEvaluation) -> None:
    roles = {network.architecture: network.role for network in evaluation.networks}
    assert roles["tiny"] == roles["middle"] == "small"
    assert evaluation.reference == "large"
    assert (roles["large"], roles["huge"]) == ("reference", "reference_candidate")
    assert [{len(s.networks) for s in front} for front in evaluation.fronts] == [{1}, {2}, {3}]


def test_every_number_says_on_how_many_seeds_it_stands(evaluation: CascadeEvaluation) -> None:
    choice = evaluation.choices[0]
    assert choice.system is not None
    assert choice.system.test.accuracy.seeds == (0, 1)
    assert choice.system.test.accuracy.std is not None
    assert choice.test_accuracy is not None
    assert choice.shipped_seed_accuracy is not None
    assert (choice.test_accuracy.seeds, choice.test_accuracy.n) == (2, 500)
    assert choice.shipped_seed_accuracy.seeds == 1
    assert all(c.accuracy_difference.seeds == 2 for c in choice.comparisons)
    assert choice.stability.n_seeds == 2


def test_one_seed_is_said_aloud(pool: PoolLogits) -> None:
    once = replace(pool, networks=tuple(n for n in pool.networks if n.seed == 0))
    notes = " ".join(evaluate_cascade(once, SETTINGS).notes)
    assert "One training of" in notes
    assert "one seed of every network" in notes


def test_a_network_without_the_selection_seeds_stands_in_the_table_only(pool: PoolLogits) -> None:
    partial = replace(
        pool, networks=tuple(n for n in pool.networks if (n.architecture, n.seed) != ("small", 1))
    )
    evaluation = evaluate_cascade(partial, replace(SETTINGS, selection_seeds=(0, 1)))
    roles = {network.architecture: network.role for network in evaluation.networks}
    assert roles["small"] == "left_out"
    assert not any("small" in s.networks for front in evaluation.fronts for s in front)
    assert any(
        "Not considered, for want of the seeds [0, 1]: small." in n for n in evaluation.notes
    )
    # and by default the seeds are those that all have
    assert evaluate_cascade(partial, SETTINGS).selection_seeds == (0,)


def test_too_few_networks_are_refused(pool: PoolLogits) -> None:
    with pytest.raises(DataError, match="at least two small ones and one reference"):
        evaluate_cascade(pool, replace(SETTINGS, references=("large", "huge", "tiny", "small")))
    with pytest.raises(UserError, match="unknown architecture of the pool 'larg'"):
        evaluate_cascade(pool, replace(SETTINGS, references=("larg",)))


def test_unmeasured_cpu_time_cannot_be_the_cost_but_may_be_missing(pool: PoolLogits) -> None:
    unmeasured = replace(
        pool,
        networks=tuple(
            replace(n, cpu_us=0.0) if n.architecture == "tiny" else n for n in pool.networks
        ),
    )
    with pytest.raises(DataError, match="the CPU time of tiny was not measured"):
        evaluate_cascade(unmeasured, replace(SETTINGS, cost="cpu_us"))
    evaluation = evaluate_cascade(unmeasured, SETTINGS)
    assert next(n for n in evaluation.networks if n.architecture == "tiny").cpu_us is None


def test_costs_are_those_of_the_usage_on_the_split(evaluation: CascadeEvaluation) -> None:
    macs = {network.architecture: network.macs for network in evaluation.networks}
    for system in (one for front in evaluation.fronts for one in front):
        first, *further = (macs[name] for name in system.networks)
        usage = (one.mean for one in system.test.usage)
        expected = first + sum(u * of for u, of in zip(usage, further, strict=True))
        assert system.test.expected_macs == pytest.approx(expected)
        assert system.test.expected_cpu_us == pytest.approx(expected / 20.0)


def test_the_opponents_at_a_cost_cost_no_more(evaluation: CascadeEvaluation) -> None:
    for choice in evaluation.choices:
        if choice.system is None:
            continue
        limit = choice.system.validation.expected_macs + 1e-6
        for name in ("best_single_at_cost", "best_pair_at_cost"):
            for comparison in choice.comparisons:
                if comparison.against == name:
                    assert comparison.opponent.validation.expected_macs <= limit


def test_a_comparison_is_the_difference_of_the_accuracies(evaluation: CascadeEvaluation) -> None:
    choice = evaluation.choices[0]
    assert choice.system is not None
    reference = _comparison(choice, "reference")
    difference = choice.system.test.accuracy.mean - reference.opponent.test.accuracy.mean
    assert reference.accuracy_difference.value == pytest.approx(difference)
    assert reference.macs_ratio == pytest.approx(choice.system.test.expected_macs / 2000)


def test_the_paper_is_compared_uncalibrated(evaluation: CascadeEvaluation) -> None:
    choice = evaluation.choices[0]
    for name in ("paper_pair", "paper_choice"):
        paper = _comparison(choice, name).opponent
        assert not paper.calibrated
        assert len(paper.networks) == 2


def test_rescued_and_broken_images_make_the_difference_to_a(
    evaluation: CascadeEvaluation, pool: PoolLogits
) -> None:
    changes = evaluation.detail.changes
    gained = (changes.rescued.mean - changes.broken.mean) / len(pool.test_labels)
    against_a = _comparison(evaluation.choices[0], "a").accuracy_difference
    assert gained == pytest.approx(against_a.value)
    assert len(changes.rescued_images) == changes.rescued.values[0]
    assert len(changes.broken_images) == changes.broken.values[0]
    assert all(i.cascade == i.label != i.a for i in changes.rescued_images)
    assert all(i.a == i.label != i.cascade for i in changes.broken_images)
    system = evaluation.choices[0].system
    assert system is not None
    threshold = system.thresholds[0].values[0]
    changed = (*changes.rescued_images, *changes.broken_images)
    assert all(image.score_a < threshold for image in changed)
    assert [image.label for image in changed] == [pool.test_labels[i.index] for i in changed]


def test_the_parts_describe_the_shipped_seed(
    evaluation: CascadeEvaluation, pool: PoolLogits
) -> None:
    parts = {part.part: part for part in evaluation.detail.parts}
    assert set(parts) - {"c"} == {"a", "b", "cascade", "reference"}
    choice = evaluation.choices[0]
    assert choice.system is not None
    confusion = np.array(parts["cascade"].confusion)
    assert confusion.sum() == len(pool.test_labels)
    assert np.trace(confusion) / 500 == pytest.approx(choice.system.test.accuracy.values[0])
    assert (confusion.sum(axis=1) == np.bincount(pool.test_labels)).all()
    for part in parts.values():
        assert sum(part.reliability_after.count) == 500
        assert part.ece_after.mean < part.ece_before.mean
        assert part.aurc.seeds == 2
    difference = parts["a"].aurc_cascade_minus_this
    assert difference is not None
    assert difference.value == pytest.approx(parts["cascade"].aurc.value - parts["a"].aurc.value)
    assert parts["cascade"].aurc_cascade_minus_this is None


def test_the_same_logits_give_the_same_record(
    pool: PoolLogits, evaluation: CascadeEvaluation
) -> None:
    assert evaluate_cascade(pool, SETTINGS) == evaluation


def test_no_torch_is_needed() -> None:
    code = "import sys; import models.cascade.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

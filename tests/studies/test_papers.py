"""A study of a paper judges its claims by a record, and repeats them on few data."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bicameral.statistics import Estimate
from studies.claims import Claim
from studies.measurements import read_measurements
from studies.paper_runs import recorded
from studies.study import Study, paper_studies

STUDIES = paper_studies()

AT_LEAST_HALF = Claim(text="half", threshold=0.5)


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.8, 0.6, 1.0, "holds"),
        (0.8, 0.4, 1.0, "holds in part"),
        (0.8, None, None, "holds"),
        (0.3, 0.1, 0.6, "does not hold"),
    ],
)
def test_a_claim_holds_as_far_as_its_interval_is_on_the_right_side(
    value: float, low: float | None, high: float | None, verdict: str
) -> None:
    assert AT_LEAST_HALF.verdict(Estimate(value=value, low=low, high=high, n=5)) == verdict


def test_a_claim_without_a_figure_is_not_tested() -> None:
    assert AT_LEAST_HALF.verdict(None) == "not tested here"


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_a_paper_has_a_record_of_every_claim_that_is_tested(study: Study) -> None:
    assert study.paper is not None
    assert study.claim.endswith(".")
    for name, found in recorded(study.paper).items():
        assert (found is None) == bool(study.paper.claims[name].untested)


@pytest.mark.parametrize("name", STUDIES)
def test_a_paper_is_repeated_quickly_on_few_data(name: str, tmp_path: Path) -> None:
    assert STUDIES[name].run(tmp_path, True) in (0, 1)
    assert read_measurements(tmp_path / f"{name}.csv")
    assert ET.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")

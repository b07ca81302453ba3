"""The study of what a pace network sees in scenes that it was not trained on."""

from __future__ import annotations

import pytest

from bicameral.tables import DASH
from studies.pace_sight import Sight, table_of_lights, table_of_stops

pytestmark = pytest.mark.unit


def sight(light: str, believed: str, *, expert_mps: float, median_mps: float) -> Sight:
    return Sight(
        town="T",
        weather="clear",
        light=light,
        line_m=15.0,
        lead_m=50.0,
        expert_mps=expert_mps,
        believed_light=believed,
        median_mps=median_mps,
        lower_mps=0.0,
        decision_ms=3.0,
    )


SEEN = (
    sight("red", "red", expert_mps=0.0, median_mps=0.2),
    sight("red", "none", expert_mps=0.0, median_mps=4.0),
    sight("green", "green", expert_mps=12.0, median_mps=10.0),
)


def test_lights_are_counted_by_their_distance() -> None:
    told = [[cell.text for cell in line.cells] for line in table_of_lights(SEEN).rows]
    assert [cells[0] for cells in told] == ["6 to 12", "12 to 20", "20 to 30", "30 to 50"]
    assert told[1][1:] == ["2", "50", "1", "0", "0.0", "2.1", "0.0"]
    assert told[0][1:] == ["0", DASH, "0", DASH, DASH, DASH, DASH]


def test_stops_are_those_of_the_expert_and_false_ones_all_others() -> None:
    creeping = sight("red", "red", expert_mps=0.0, median_mps=1.9)
    median, lower, _ = ([cell.text for cell in line.cells] for line in table_of_stops(SEEN).rows)
    assert median[:5] == ["median", "2", "50", "1", "0.0"]
    assert lower[:5] == ["lower quartile", "2", "100", "1", "100.0"]
    told = [[cell.text for cell in line.cells] for line in table_of_stops((*SEEN, creeping)).rows]
    assert [cells[2].split()[0] for cells in told] == ["33", "100", "67"]

"""The study of how many pixels tell a red light from a green one."""

from __future__ import annotations

import pytest

from studies.lamp_pixels import LampPixels, table_of_lamps

pytestmark = pytest.mark.unit


def test_the_table_has_the_median_and_the_share_of_lights_that_nobody_could_know() -> None:
    seen = [
        LampPixels(town="T", light=number, distance_m=20.0, agent_px=agent, pace_px=5)
        for number, agent in enumerate((0, 1, 4))
    ]
    (line,) = table_of_lamps(seen).rows
    told = [str(cell) for cell in line.cells]
    assert told[:4] == ["T", "20", "3", "1"]
    assert told[4].startswith("67 [")
    assert told[5] == "5"
    assert told[6].startswith("0 [")

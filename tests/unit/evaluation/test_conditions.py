"""Conditions go wrong in the same way for every agent, and repeat."""

import numpy as np
import pytest

from bicameral.errors import UserError
from sim.client.ego import MOUNTED_RIGHT
from sim.client.weather import WEATHERS
from sim.evaluation.conditions import CONDITIONS, PATCH_GREY, condition_by_name


def test_a_weather_is_a_condition_with_nothing_wrong_with_the_camera():
    for name, weather in WEATHERS.items():
        condition = condition_by_name(name)
        assert condition.weather == weather
        assert condition.draw_fault(seed=7).describe() == {}


@pytest.mark.parametrize("name", sorted(CONDITIONS.keys() - WEATHERS.keys()))
def test_what_is_wrong_follows_from_the_seed_alone_and_is_recorded(name):
    condition = condition_by_name(name)
    assert condition.weather == WEATHERS["clear"]
    assert condition.draw_fault(seed=3) == condition.draw_fault(seed=3)
    assert condition.draw_fault(seed=3).describe()


def test_the_patch_hides_60_by_120_pixels_below_the_sky_somewhere_else_each_time():
    picture = np.full((160, 320, 3), 200, np.uint8)
    seen = set()
    for seed in range(50):
        fault = condition_by_name("patch").draw_fault(seed)
        assert fault.mount == MOUNTED_RIGHT
        covered = (fault.patch.cover(picture) == PATCH_GREY).all(axis=2)
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        assert (len(rows), len(columns)) == (60, 120)
        assert covered.sum() == 60 * 120
        assert rows[0] >= 40
        seen.add((int(rows[0]), int(columns[0])))
    assert len(seen) > 40
    assert (picture == 200).all(), "the picture itself stays as it was"


def test_an_unknown_condition_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="pitch_down"):
        condition_by_name("pitch_dwn")

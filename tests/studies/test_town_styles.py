"""What is said of a town's junctions is what they look like, and what is outside is named."""

from __future__ import annotations

import pytest

from sim.pocket.map_store import MapStore
from studies.town_styles import Crossroads, TrainingRange, covered, describe, junctions_of

pytestmark = pytest.mark.studies


@pytest.fixture(scope="module")
def towns() -> dict[str, list[Crossroads]]:
    store = MapStore()
    return {name: junctions_of(store.load(name).carla_map) for name in ("Train01", "Varied01")}


def test_radii_lie_between_the_recipe_and_what_a_clothoid_adds(towns) -> None:
    for name, sharpest_m, widest_m in (("Train01", 8.0, 30.0), ("Varied01", 5.75, 11.0)):
        radii_m = [radius_m for one in towns[name] for radius_m in one.right_m]
        assert sharpest_m < min(radii_m)
        assert sorted(radii_m)[len(radii_m) // 2] < widest_m


def test_a_town_lies_within_its_own_range(towns) -> None:
    known = TrainingRange.of(towns["Train01"])
    junctions = len(towns["Train01"])
    assert covered("Train01", "itself", towns["Train01"], known) == (
        "Train01",
        "itself",
        junctions,
        "100",
        "100",
        "–",
    )


def test_what_lies_outside_is_named(towns) -> None:
    known = TrainingRange.of(towns["Train01"])
    *_, inside, _, why = covered("Varied01", "Train01", towns["Varied01"], known)
    assert inside == "0"
    assert "edge lines (5)" in why
    assert "right turns (5)" in why
    assert "lane width (5)" in why


def test_lines_and_lanes_are_told(towns) -> None:
    varied = describe("Varied01", towns["Varied01"])
    assert varied[5:] == ("4.00", "1", "0", "Broken", "100")

"""The record of what every method does is whole, and what is measured anew agrees with it."""

from __future__ import annotations

import csv

from sim.pocket.methods import METHODS
from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT
from sim.pocket.sensors.offer import OFFER
from studies.pocket_coverage import NONE, REFUSAL, WRONG, cover
from studies.study import DATA


def test_the_record_knows_every_method_and_sensor_and_none_is_wrong():
    with (DATA / "pocket" / "coverage.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    outcomes = {one["name"]: one["outcome"] for one in rows}
    assert set(outcomes) == {*METHODS, *OFFER}
    assert WRONG not in outcomes.values()
    assert {name for name in METHODS if outcomes[name] == NONE} == set(WITHOUT_EFFECT)
    assert {name for name in METHODS if outcomes[name] == REFUSAL} == set(REFUSED)
    measured = cover(["open_vehicle_door", "send", "unload_map_layer", "add_actor_force"])
    assert {one[1]: one[2] for one in measured}.items() <= outcomes.items()

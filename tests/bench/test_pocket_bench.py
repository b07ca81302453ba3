"""The simulator's benchmark measures every part; what it measures is printed, never asserted."""

from sim.pocket.bench import (
    CAMERA_KINDS,
    CAMERAS,
    STAGES,
    VEHICLES,
    measure_camera,
    measure_growth,
    measure_tick,
)


def test_every_part_of_a_tick_is_measured():
    costs = measure_tick(side_px=64, rounds=2, ticks=3)
    parts = [cost.part for cost in costs]
    assert len(set(parts)) == 5
    assert parts[-1].startswith("limit")
    assert all(0.0 <= c.least_ms <= c.median_ms <= c.most_ms for c in costs)


def test_growth_is_measured_by_vehicles_cameras_and_maps():
    growths = measure_growth(rounds=1, ticks=1)
    assert [one.unit for one in growths][:3] == ["vehicle", "vehicle", "camera"]
    assert [one.sizes for one in growths][:3] == [VEHICLES, VEHICLES, CAMERAS]
    assert all(cost > 0.0 for one in growths for cost in one.medians_ms)


def test_frames_of_every_kind_of_camera_are_measured_stage_by_stage():
    costs = measure_camera(frames=1)
    assert list(costs) == list(CAMERA_KINDS)
    assert all(min(stages) >= 0.0 for stages in costs.values())
    assert all(stages[STAGES.index("raster")] > 0.0 for stages in costs.values())

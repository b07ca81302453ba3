"""The simulator's benchmark measures every part; what it measures is printed, never asserted."""

from sim.pocket.tick_bench import BenchSettings, measure


def test_every_part_of_a_tick_is_measured():
    costs = measure(BenchSettings(side_px=64, rounds=2, ticks=3))
    parts = [cost.part for cost in costs]
    assert len(set(parts)) == 5
    assert parts[-1].startswith("limit")
    assert all(0.0 <= c.least_ms <= c.median_ms <= c.most_ms for c in costs)

"""Traffic Manager cars on the pocket simulator: contacts, lanes, red lights, ticks per second.

The Traffic Manager is the official client's own. Without CARLA's towns, or with `--quick`, the
study drives on the shipped town only. Pairs of vehicles that touched are counted, never events: one
jam makes thousands of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim.client.local_server import LocalServer
from sim.pocket.map_store import MapStore
from studies.measurements import write_rows
from studies.study import Study
from studies.traffic_watch import Drive, Watched, watch

TOWNS = ("Town01", "Town04", "Town10HD")
COUNTS = (30, 50)
SECONDS = 300.0
SEED = 1

#: What is allowed: pairs in contact, by kind of traffic, and crossings at red with cars only.
MOST_PAIRS = {"cars": 1, "all": 4}
MOST_RED_RUNS = 1


_HEADER = (
    "town",
    "traffic",
    "vehicles",
    "simulated s",
    "pairs in contact",
    "which",
    "samples off the road",
    "samples",
    "red runs",
    "removed",
    "driven km",
    "ticks/s",
    "server CPU ms/tick",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One drive, and what was seen."""

    drive: Drive
    seen: Watched

    @property
    def holds(self) -> bool:
        """Whether the drive keeps to the claim."""
        if len(self.seen.pairs) > MOST_PAIRS[self.drive.kind]:
            return False
        strict = self.drive.kind == "cars"
        broken = self.seen.off_road or self.seen.removed or self.seen.red_runs > MOST_RED_RUNS
        return not (strict and broken)

    def values(self) -> tuple[str | float, ...]:
        """Return the record, in the order of the header."""
        seen = self.seen
        return (
            self.drive.town,
            self.drive.kind,
            seen.vehicles,
            self.drive.seconds,
            len(seen.pairs),
            "; ".join(" and ".join(name.split(".", 1)[-1] for name in pair) for pair in seen.pairs),
            seen.off_road,
            seen.samples,
            seen.red_runs,
            seen.removed,
            round(seen.driven_m / 1e3, 1),
            round(seen.ticks / seen.wall_s),
            round(1e3 * seen.server_cpu_s / seen.ticks, 2),
        )


def drives(quick: bool) -> list[Drive]:
    """Return what to drive."""
    towns: tuple[str, ...]
    counts: tuple[int, ...]
    towns, counts = ("Harbour",), (8,) if quick else (30,)
    if not quick and set(TOWNS) <= set(MapStore().names()):
        towns, counts = TOWNS, COUNTS
    return [
        Drive(town=town, kind=kind, count=count, seconds=5.0 if quick else SECONDS, seed=SEED)
        for kind in (("all",) if quick else ("cars", "all"))
        for town in towns
        for count in counts
    ]


def measure(drive: Drive) -> Outcome:
    """Drive on a server of its own, and print what was met."""
    with LocalServer() as server:
        outcome = Outcome(drive=drive, seen=watch(server.port, server.process_id or 0, drive))
    for note in outcome.seen.notes:
        print(f"{drive.town} {drive.kind} {drive.count}: {note}", flush=True)
    return outcome


def run(folder: Path, quick: bool) -> int:
    """Drive everything; return whether one drive broke the claim."""
    outcomes = [measure(drive) for drive in drives(quick)]
    write_rows(folder / "traffic.csv", _HEADER, [one.values() for one in outcomes], words=2)
    return int(not all(one.holds for one in outcomes))


STUDY = Study(
    claim=(
        "Traffic Manager cars keep apart, on their lanes and before red lights: 30 and 50 of them, "
        "with cars only at most one pair in contact, no sample off the road, one red run at most "
        "and none removed; with all blueprints at most four pairs."
    ),
    setting=(
        "Any x86-64 machine with the carla wheel; 5 simulated minutes per drive, seed 1; about a "
        "minute of two cores each. --quick drives 8 vehicles for 10 s on a shipped town."
    ),
    run=run,
    needs="CARLA's Town01, Town04 and Town10HD: CARLA_ROOT",
)

"""Traffic lights and signs of a town, from the signals of its map.

All lights of a junction form a group. Within a group, the lights of one ``<controller>`` are green
together, in the order that the junction gives its controllers; where the map has none, opposing
approaches are. The times are CARLA's: 10 s green, 3 s yellow, 2 s during which everybody has red.
The cycle starts with the first phase and depends on nothing but the map and the simulated time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import carla
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import UserError, look_up
from bicameral.units import wrap_deg
from sim.pocket.collision import box_row
from sim.pocket.collision_kernels import overlap
from sim.pocket.geometry import OrientedBox, Rotation, Transform, Vector3
from sim.pocket.signal_map import Approach, approaches_of, landmarks_by_id
from sim.pocket.signal_phases import Phase, read_phases
from sim.pocket.vehicles import VEHICLE_MODELS

_TRAFFIC_LIGHT, _STOP, _YIELD, _SPEED_LIMIT = "1000001", "206", "205", "274"
#: Approaches whose directions differ by less share a phase, modulo half a turn.
_SAME_AXIS_DEG = 40.0
#: A vehicle belongs to a light if it heads along the lane within this angle.
_HEADING_DEG = 75.0
_CELL_M = 16.0
#: Nothing of a vehicle is further from its origin.
_VEHICLE_REACH_M = max(
    math.hypot(model.half_extent.x, model.half_extent.y) for model in VEHICLE_MODELS
)


class LightState(IntEnum):
    """State of a light, with the numbers of the wire."""

    RED = 0
    YELLOW = 1
    GREEN = 2
    OFF = 3
    UNKNOWN = 4


_USUAL_TIMES_S: dict[int, float] = {
    LightState.GREEN: 10.0,
    LightState.YELLOW: 3.0,
    LightState.RED: 2.0,
}
_FOLLOWING = {
    LightState.GREEN: LightState.YELLOW,
    LightState.YELLOW: LightState.RED,
    LightState.RED: LightState.GREEN,
}


@dataclass(slots=True, kw_only=True)
class TrafficLight:
    """One traffic light.

    Attributes:
        opendrive_id: Id of the signal in the map.
        transform: Pose of the signal, world frame.
        trigger_boxes: In front of the stop lines, one per road; a vehicle that touches one obeys
            it. The yaw is the driving direction.
        approach_yaw_deg: Driving direction of the traffic that it controls.
        pole_index: Place within its group.
        group: OpenDRIVE ids of all lights of the junction, itself included.
        state: What it shows.
        times_s: Length of green and of yellow, and how long all approaches have red after this one.
        elapsed_s: Time since the state began.
        frozen: Whether its group stands still.
    """

    opendrive_id: str
    transform: Transform
    trigger_boxes: tuple[OrientedBox, ...]
    approach_yaw_deg: float
    pole_index: int = 0
    group: tuple[str, ...] = ()
    state: int = LightState.RED
    times_s: dict[int, float] = field(default_factory=_USUAL_TIMES_S.copy)
    elapsed_s: float = 0.0
    frozen: bool = False

    def show(self, state: int) -> None:
        """Change the state; the elapsed time begins anew if it really changes."""
        if state != self.state:
            self.state = state
            self.elapsed_s = 0.0


#: A light, one of its trigger boxes, and that box as a row for the kernels.
_Area = tuple[TrafficLight, OrientedBox, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignActor:
    """A sign that becomes an actor.

    Attributes:
        type_id: ``traffic.speed_limit.NN``, ``traffic.stop`` or ``traffic.yield``.
        transform: Pose, world frame.
        opendrive_id: Id of the signal in the map.
    """

    type_id: str
    transform: Transform
    opendrive_id: str


@dataclass(slots=True)
class _Group:
    """The cycle of one junction: which phase is on, and how far it is."""

    phases: list[list[TrafficLight]]
    phase: int = 0
    stage: LightState = LightState.GREEN
    elapsed_s: float = 0.0
    lights: list[TrafficLight] = field(init=False)

    def __post_init__(self) -> None:
        self.lights = [light for phase in self.phases for light in phase]

    def reset(self) -> None:
        """Begin with the first phase."""
        self.phase, self.stage, self.elapsed_s = 0, LightState.GREEN, 0.0
        for light in self.lights:
            light.show(LightState.RED)
            light.elapsed_s = 0.0
        self._show()

    def step(self, delta_s: float) -> None:
        """Let time pass."""
        for light in self.lights:
            light.elapsed_s += delta_s
        self.elapsed_s += delta_s
        # Sums of steps miss the exact end by rounding; a tick belongs to the state it begins.
        while self.elapsed_s >= self._stage_length_s() - 1e-6:
            self.elapsed_s = max(0.0, self.elapsed_s - self._stage_length_s())
            self._next_stage()

    def _stage_length_s(self) -> float:
        return max(self.phases[self.phase][0].times_s[self.stage], 0.05)

    def _next_stage(self) -> None:
        self.stage = _FOLLOWING[self.stage]
        if self.stage is LightState.GREEN:
            self.phase = (self.phase + 1) % len(self.phases)
        self._show()

    def _show(self) -> None:
        for index, phase in enumerate(self.phases):
            for light in phase:
                light.show(self.stage if index == self.phase else LightState.RED)


class TrafficLights:
    """All lights and signs of a map. Lights are named by their OpenDRIVE ids.

    Attributes:
        lights: All lights, by ascending id.
        by_opendrive_id: The same by id.
        signs: Speed limits, stop and yield signs.
    """

    def __init__(self, carla_map: carla.Map) -> None:
        """Read the signals of the map; a map without signals has no lights."""
        self._groups: dict[str, _Group] = {}
        self.by_opendrive_id: dict[str, TrafficLight] = {}
        self._build(carla_map)
        self.lights = tuple(self.by_opendrive_id.values())
        self.signs = _signs(carla_map)
        self._cells = _index(self.lights)

    def _build(self, carla_map: carla.Map) -> None:
        """Create the lights, their groups and their phases."""
        by_junction: dict[int, list[TrafficLight]] = {}
        phase_of = read_phases(carla_map.to_opendrive())
        for opendrive_id, records in landmarks_by_id(carla_map, _TRAFFIC_LIGHT).items():
            approaches = approaches_of(carla_map, records)
            pose = _transform(records[0])
            light = TrafficLight(
                opendrive_id=opendrive_id,
                transform=pose,
                trigger_boxes=tuple(approach.box for approach in approaches),
                approach_yaw_deg=approaches[0].box.yaw_deg if approaches else pose.rotation.yaw,
            )
            self.by_opendrive_id[opendrive_id] = light
            phase = phase_of.get(opendrive_id)
            junction = phase.junction_id if phase is not None else None
            if junction is None:
                junction = _junction(approaches, opendrive_id)
            by_junction.setdefault(junction, []).append(light)
        for lights in by_junction.values():
            ids = tuple(light.opendrive_id for light in lights)
            group = _Group(_phases(lights, phase_of))
            for pole_index, light in enumerate(lights):
                light.pole_index, light.group = pole_index, ids
                self._groups[light.opendrive_id] = group
            group.reset()

    def _all_groups(self) -> Iterable[_Group]:
        return {id(group): group for group in self._groups.values()}.values()

    def light(self, opendrive_id: str) -> TrafficLight:
        """Return a light.

        Raises:
            UserError: There is no such light.
        """
        return look_up("traffic light", opendrive_id, self.by_opendrive_id)

    def step(self, delta_s: float) -> None:
        """Let simulated time pass; frozen groups stand still."""
        for group in self._all_groups():
            if not group.lights[0].frozen:
                group.step(delta_s)

    def light_for(
        self, location: Vector3, yaw_deg: float, half_extent: Vector3
    ) -> TrafficLight | None:
        """Return the light that a vehicle has to obey where it is, if any.

        Args:
            location: Of the vehicle's origin, world frame, m.
            yaw_deg: Its heading.
            half_extent: Of its box, m.
        """
        cell = (math.floor(location.x / _CELL_M), math.floor(location.y / _CELL_M))
        row = None
        for light, box, area in self._cells.get(cell, ()):
            if abs(wrap_deg(yaw_deg - box.yaw_deg)) > _HEADING_DEG:
                continue
            if row is None:
                middle = location._replace(z=location.z + half_extent.z)
                row = box_row(
                    OrientedBox(location=middle, half_extent=half_extent, yaw_deg=yaw_deg)
                )
            if overlap(row, area)[0] > 0.0:
                return light
        return None

    def set_state(self, opendrive_id: str, state: int) -> None:
        """Show a state until the cycle of the group shows the next one.

        Raises:
            UserError: There is no such light or state.
        """
        light = self.light(opendrive_id)
        if state not in tuple(LightState):
            raise UserError(f"traffic light state {state} is none of {list(map(int, LightState))}")
        light.show(LightState(state))

    def set_time(self, opendrive_id: str, state: LightState, seconds: float) -> None:
        """Set how long a light, and those that are green with it, show a state.

        That of red is how long everybody has red after them.
        """
        if not math.isfinite(seconds) or seconds < 0.0:
            raise UserError(
                f"traffic light time {seconds} s; expected a finite time of 0 s or more"
            )
        for light in self._phase_of(opendrive_id):
            light.times_s[state] = seconds

    def _phase_of(self, opendrive_id: str) -> list[TrafficLight]:
        light = self.light(opendrive_id)
        phases = self._groups[opendrive_id].phases
        return next(phase for phase in phases if any(other is light for other in phase))

    def freeze(self, opendrive_id: str, frozen: bool) -> None:
        """Stop or resume the cycle of the light's group."""
        self.light(opendrive_id)
        for light in self._groups[opendrive_id].lights:
            light.frozen = frozen

    def freeze_all(self, frozen: bool) -> None:
        """Stop or resume all cycles."""
        for light in self.lights:
            light.frozen = frozen

    def reset_group(self, opendrive_id: str) -> None:
        """Begin the cycle of the light's group anew."""
        self.light(opendrive_id)
        self._groups[opendrive_id].reset()

    def reset_all(self) -> None:
        """Begin all cycles anew."""
        for group in self._all_groups():
            group.reset()


def _transform(landmark: carla.Landmark) -> Transform:
    """Return the pose of a landmark with angles in [-180, 180)."""
    location, rotation = landmark.transform.location, landmark.transform.rotation
    return Transform(
        Vector3(location.x, location.y, location.z),
        Rotation(wrap_deg(rotation.pitch), wrap_deg(rotation.yaw), wrap_deg(rotation.roll)),
    )


def _junction(approaches: Sequence[Approach], opendrive_id: str) -> int:
    """Return the junction's id, or for a light without one a number of its own."""
    known = [a.junction_id for a in approaches if a.junction_id >= 0]
    return known[0] if known else -1 - sum(ord(c) << (8 * i) for i, c in enumerate(opendrive_id))


def _phases(lights: list[TrafficLight], phase_of: Mapping[str, Phase]) -> list[list[TrafficLight]]:
    """Put the lights of a controller together, and those without one by their direction."""
    controlled: dict[Phase, list[TrafficLight]] = {}
    for light in lights:
        if light.opendrive_id in phase_of:
            controlled.setdefault(phase_of[light.opendrive_id], []).append(light)
    ordered = sorted(controlled, key=lambda phase: (phase.sequence, phase.position))
    others = [light for light in lights if light.opendrive_id not in phase_of]
    return [controlled[phase] for phase in ordered] + _phases_by_direction(others)


def _phases_by_direction(lights: list[TrafficLight]) -> list[list[TrafficLight]]:
    """Put opposing approaches together, in the order of the lights."""
    phases: list[list[TrafficLight]] = []
    for light in lights:
        for phase in phases:
            turn = wrap_deg(2.0 * (light.approach_yaw_deg - phase[0].approach_yaw_deg))
            if abs(turn) < 2.0 * _SAME_AXIS_DEG:
                phase.append(light)
                break
        else:
            phases.append([light])
    return phases


def _index(lights: Iterable[TrafficLight]) -> dict[tuple[int, int], list[_Area]]:
    """Put every trigger box into the cells of the vehicles that may touch it."""
    cells: dict[tuple[int, int], list[_Area]] = {}
    for light in lights:
        for box in light.trigger_boxes:
            reach = math.hypot(box.half_extent.x, box.half_extent.y) + _VEHICLE_REACH_M
            low_x, high_x = (math.floor((box.location.x + r) / _CELL_M) for r in (-reach, reach))
            low_y, high_y = (math.floor((box.location.y + r) / _CELL_M) for r in (-reach, reach))
            area = (light, box, box_row(box))
            for i in range(low_x, high_x + 1):
                for j in range(low_y, high_y + 1):
                    cells.setdefault((i, j), []).append(area)
    return cells


def _signs(carla_map: carla.Map) -> tuple[SignActor, ...]:
    """Return the signs that CARLA turns into actors."""
    signs = []
    for kind in (_SPEED_LIMIT, _STOP, _YIELD):
        for opendrive_id, records in landmarks_by_id(carla_map, kind).items():
            type_id = {_STOP: "traffic.stop", _YIELD: "traffic.yield"}.get(kind)
            if type_id is None:
                # The real simulator, too, takes the number for km/h whatever the unit says.
                limit = records[0].value if records[0].value > 0.0 else records[0].sub_type
                type_id = f"traffic.speed_limit.{int(float(limit or 0.0))}"
            signs.append(
                SignActor(
                    type_id=type_id, transform=_transform(records[0]), opendrive_id=opendrive_id
                )
            )
    return tuple(signs)

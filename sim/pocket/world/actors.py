"""Everything that has an id: vehicles, walkers, sensors, lights, signs, props, the spectator."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from bicameral.errors import UserError
from sim.pocket.ackermann import AckermannController, AckermannGains, AckermannTarget
from sim.pocket.geometry import Transform, Vector3
from sim.pocket.protocol.messages import (
    TrafficLightRecord,
    join_actor,
    pack_actor_place,
    pack_sign_state,
    pack_traffic_light_state,
    pack_vehicle_state,
    pack_walker_state,
)
from sim.pocket.protocol.values import ActorDescription, BoundingBox, VehicleControl
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.traffic_lights import LightState, TrafficLight
from sim.pocket.vehicles import VehicleModel
from sim.pocket.walker_pose import PoseOfClient, stride_pose
from sim.pocket.world.publisher import Publisher

#: How many boxes of destroyed actors are remembered: clients ask for them a little later.
_REMEMBERED_BOXES = 10_000

Motion = tuple[Vector3, Vector3, Vector3]
_NO_BOX = BoundingBox()
STILL: Motion = (Vector3(), Vector3(), Vector3())


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What never changes about an actor, because clients cache it for ever.

    Attributes:
        actor_id: Unique for the life of the server.
        description: Blueprint and complete attributes.
        bounding_box: In the actor's frame.
        semantic_tag: A `CityObjectLabel`; 0 for what cannot be seen.
        parent_id: The actor it was attached to when spawned, or 0.
        stream_id: The stream of its data, or 0.
    """

    actor_id: int
    description: ActorDescription
    bounding_box: BoundingBox = _NO_BOX
    semantic_tag: int = 0
    parent_id: int = 0
    stream_id: int = 0


class Actor:
    """One actor; a walker's controller or the spectator if not of a class below.

    Attributes:
        identity: What never changes.
        attributes: Values of the attributes by name.
        relative: Pose on the parent for an attached actor, else None.
        collides: Whether it takes part in collisions.
    """

    def __init__(self, identity: Identity, transform: Transform) -> None:
        self.identity = identity
        self.attributes = {item.name: item.value for item in identity.description.attributes}
        self.relative: Transform | None = None
        self.collides = True
        self._transform = transform
        self._motion = STILL
        self._packed_place: bytes | None = None
        self._record: bytes | None = None

    @property
    def id(self) -> int:
        """Unique for the life of the server."""
        return self.identity.actor_id

    @property
    def type_id(self) -> str:
        """Id of the blueprint."""
        return self.identity.description.type_id

    @property
    def transform(self) -> Transform:
        """Pose in the world."""
        return self._transform

    @property
    def motion(self) -> Motion:
        """Velocity m/s, angular velocity deg/s, acceleration m/s^2, world frame."""
        return self._motion

    def move(self, transform: Transform, motion: Motion = STILL) -> None:
        """Set pose and motion."""
        self._transform = transform
        self._motion = motion
        self._packed_place = self._record = None

    def record(self) -> bytes:
        """Return the actor's part of the snapshot; kept until something changes."""
        if self._record is None:
            if self._packed_place is None:
                self._packed_place = pack_actor_place(self.id, self._transform, self._motion)
            self._record = join_actor(self._packed_place, self._state_bytes())
        return self._record

    def _state_bytes(self) -> bytes:
        return b""


class Prop(Actor):
    """Something that stands around and can be hit."""


class Vehicle(Actor):
    """A vehicle; its motion lives in `VehicleDynamics`.

    Attributes:
        model: Box and default physics.
        control: What was applied last.
        light_state: Flags of the vehicle's lamps.
        speed_limit_kmh: Limit where it is.
        standing_at: (actor id, state) of the traffic light whose area it is in, or None.
        wheel_angles_deg: Steering and pitch angles that a client set by hand, by (kind, wheel).
        sticky_control: Whether a control stands until the next; else it counts for one tick.
        control_is_new: Whether a control has come since the last tick.
        ackermann_target: What the Ackermann controller is to reach; None for pedals by the client.
        ackermann_controller: Works on that since the first tick after the command.
        ackermann_gains: Of the Ackermann controller.
    """

    def __init__(self, identity: Identity, transform: Transform, model: VehicleModel) -> None:
        super().__init__(identity, transform)
        self.model = model
        self.control = VehicleControl()
        self.light_state = 0
        self.speed_limit_kmh = 0.0
        self.standing_at: tuple[int, int] | None = None
        self.wheel_angles_deg: dict[tuple[str, int], float] = {}
        self.sticky_control = self.attributes.get("sticky_control", "true").lower() != "false"
        self.control_is_new = False
        self.ackermann_target: AckermannTarget | None = None
        self.ackermann_controller: AckermannController | None = None
        self.ackermann_gains = AckermannGains()

    def _state_bytes(self) -> bytes:
        return pack_vehicle_state(self.control, self.speed_limit_kmh, self.standing_at)


class Walker(Actor):
    """A pedestrian.

    Attributes:
        direction: Where it walks, world frame.
        speed_mps: How fast.
        jump: Whether it was told to jump.
        simulated: Whether it moves by itself.
        walked_m: How far it has come; its legs move by it.
        pose: What a client made of its bones.
        led_tick: The tick after which the client's navigation put it somewhere; None if none does.
    """

    def __init__(self, identity: Identity, transform: Transform) -> None:
        super().__init__(identity, transform)
        self.direction = Vector3(1.0, 0.0, 0.0)
        self.speed_mps = 0.0
        self.jump = False
        self.simulated = True
        self.walked_m = 0.0
        self.pose = PoseOfClient()
        self.led_tick: int | None = None

    @property
    def stride_pose(self) -> int:
        """Number of the pose in which it walks or stands."""
        return stride_pose(self.walked_m, math.hypot(self.motion[0].x, self.motion[0].y))

    def _state_bytes(self) -> bytes:
        return pack_walker_state(self.direction, self.speed_mps, self.jump)


class Sensor(Actor):
    """A sensor; one that measures or takes pictures is of a class in `sim.pocket.sensors`.

    Attributes:
        ordinal: The how-manieth sensor of its episode it is; seeds its noise.
        spawned_tick: Ticks since the episode began when it was spawned; its noise counts from
            there.
        interval_s: Least simulated time between two messages; 0 for every tick.
        next_due_s: Simulated time from which on the next message is due.
        ignored_ids: Actors that its rays pass through.
        elapsed_s: Simulated time between the last two turns; 0 before the second one.
    """

    def __init__(
        self, identity: Identity, transform: Transform, ordinal: int, spawned_tick: int
    ) -> None:
        super().__init__(identity, transform)
        self.ordinal = ordinal
        self.spawned_tick = spawned_tick
        self.interval_s = number_attribute(self, "sensor_tick", 0.0)
        self.next_due_s = 0.0
        self.ignored_ids: frozenset[int] = frozenset()
        self.elapsed_s = 0.0
        self._last_turn_s: float | None = None
        self._read_attributes()

    def _read_attributes(self) -> None:
        """Take what the attributes say, once and for all.

        Raises:
            UserError: One of them makes no sense.
        """

    def take_turn(self, now_s: float) -> bool:
        """Say whether a message is due, and advance the clock of the sensor if so.

        As with Unreal's tick intervals, the first tick after spawning is due and the intervals do
        not drift: a sensor of 0.12 s in ticks of 0.05 s fires after 3, 2, 3, 2, ... ticks.
        """
        if self.interval_s > 0.0:
            if now_s < self.next_due_s - 1e-6:
                return False
            behind_s = now_s - self.next_due_s
            keeps_pace = self.next_due_s > 0.0 and behind_s < self.interval_s
            self.next_due_s = (self.next_due_s if keeps_pace else now_s) + self.interval_s
        self.elapsed_s = 0.0 if self._last_turn_s is None else now_s - self._last_turn_s
        self._last_turn_s = now_s
        return True


class TrafficLightActor(Actor):
    """A traffic light; its state lives in `TrafficLights`."""

    def __init__(self, identity: Identity, transform: Transform, light: TrafficLight) -> None:
        super().__init__(identity, transform)
        self.light = light

    @property
    def opendrive_id(self) -> str:
        """Id of the signal in the map."""
        return self.light.opendrive_id

    def record(self) -> bytes:
        """Return the light's part of the snapshot; its elapsed time changes with every tick."""
        self._record = None
        return super().record()

    def _state_bytes(self) -> bytes:
        light = self.light
        times_s = light.times_s
        return pack_traffic_light_state(
            TrafficLightRecord(
                light.opendrive_id,
                times_s[LightState.GREEN],
                times_s[LightState.YELLOW],
                times_s[LightState.RED],
                light.elapsed_s,
                light.pole_index,
                light.frozen,
                light.state,
            )
        )


class TrafficSign(Actor):
    """A sign of the map."""

    def __init__(self, identity: Identity, transform: Transform, opendrive_id: str) -> None:
        super().__init__(identity, transform)
        self.opendrive_id = opendrive_id

    def _state_bytes(self) -> bytes:
        return pack_sign_state(self.opendrive_id)


AnyActor = TypeVar("AnyActor", bound=Actor)


class ActorRegistry:
    """The actors of one episode, in the order of their ids, and the boxes of those gone."""

    def __init__(self) -> None:
        self._actors: dict[int, Actor] = {}
        self._by_class: dict[type, dict[int, Actor]] = {}
        self._boxes_of_the_dead: OrderedDict[int, BoundingBox] = OrderedDict()

    def __iter__(self) -> Iterator[Actor]:
        return iter(self._actors.values())

    def of_class(self, kind: type[AnyActor]) -> list[AnyActor]:
        """Return the actors of a class and of those that are made of it."""
        return cast("list[AnyActor]", list(self._by_class.get(kind, {}).values()))

    def add(self, actor: Actor) -> None:
        """Add a new actor."""
        self._actors[actor.id] = actor
        for kind in type(actor).__mro__:
            self._by_class.setdefault(kind, {})[actor.id] = actor

    def find(self, actor_id: int) -> Actor | None:
        """Return an actor, or None when it does not exist."""
        return self._actors.get(actor_id)

    def get(self, actor_id: int, kind: type[AnyActor]) -> AnyActor:
        """Return an actor of a class.

        Raises:
            UserError: It does not exist or is something else.
        """
        actor = self._actors.get(actor_id)
        if actor is None:
            raise UserError(f"unable to find actor {actor_id}: it does not exist (any more)")
        if not isinstance(actor, kind):
            raise UserError(f"actor {actor_id} ({actor.type_id}) is no {kind.__name__.lower()}")
        return actor

    def remove(self, actor_id: int) -> None:
        """Remove an actor and remember its box."""
        actor = self._actors.pop(actor_id)
        for kind in type(actor).__mro__:
            del self._by_class[kind][actor_id]
        self._boxes_of_the_dead[actor_id] = actor.identity.bounding_box
        if len(self._boxes_of_the_dead) > _REMEMBERED_BOXES:
            self._boxes_of_the_dead.popitem(last=False)

    def bounding_box(self, actor_id: int) -> BoundingBox:
        """Return the box of an actor, also of a destroyed one; a unit box for an unknown id.

        The Traffic Manager asks for actors that were just destroyed, on a thread where an error
        would abort the client's process.
        """
        actor = self._actors.get(actor_id)
        if actor is not None:
            return actor.identity.bounding_box
        return self._boxes_of_the_dead.get(actor_id, BoundingBox(extent=Vector3(1.0, 1.0, 1.0)))


def number_attribute(actor: Actor, name: str, default: float) -> float:
    """Return a numeric attribute; clients write ``"64.0"`` for an integer, too.

    Raises:
        UserError: Its text is no number.
    """
    text = actor.attributes.get(name)
    if text is None or not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(
            f"attribute {name!r} of {actor.type_id} is {text!r}, but must be a number"
        ) from error
    if not -1e9 < value < 1e9:
        raise UserError(f"attribute {name!r} of {actor.type_id} is {text!r}, out of range")
    return value


def flag_attribute(actor: Actor, name: str) -> bool:
    """Say whether an attribute is switched on; clients write ``true``, ``True`` or ``1``."""
    return actor.attributes.get(name, "").strip().lower() in ("true", "1")


def wire_from_scenery(label: int) -> list[Any]:
    """Write what a sensor met that is no actor.

    Its id is 0 and its type names what it is, as CARLA does it (``static.building``, ...).
    """
    description = ActorDescription(0, f"static.{CityObjectLabel(label).name.lower()}")
    return [0, 0, description, _NO_BOX, bytes([label]), b""]


def wire_from_actor(actor: Actor, publisher: Publisher) -> list[Any]:
    """Write an Actor."""
    identity = actor.identity
    return [
        identity.actor_id,
        identity.parent_id,
        identity.description,
        identity.bounding_box,
        bytes([identity.semantic_tag]) if identity.semantic_tag else b"",
        publisher.token(identity.stream_id) if identity.stream_id else b"",
    ]

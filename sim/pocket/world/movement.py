"""Moving actors: what clients command, and what a tick does with it."""

from __future__ import annotations

import math

from bicameral.errors import UserError
from sim.pocket.ackermann import AckermannController
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.protocol.values import VehicleControl
from sim.pocket.traffic_lights import LightState
from sim.pocket.world.actors import Actor, Vehicle, Walker
from sim.pocket.world.episode import Episode

#: How fast a walker leaves the ground when it jumps; what Unreal's characters have by default.
_JUMP_MPS = 4.2
#: A walker's origin is its centre; CARLA's pedestrians are 1.86 m tall.
_WALKER_CENTRE_M = 0.93
_GRAVITY_MPS2 = 9.81
_STANDING_M = 0.01
#: A walker that its client has not led for so long was left by it, and stands.
_LED_TICKS = 10
#: Vehicles look up the speed limit of their road every so many ticks, not all in the same one.
_LIMIT_EVERY_TICKS = 8
#: What is slower waits, or can still wait, before a line.
_WAITING_MPS = 1.0


def place(episode: Episode, actor: Actor, transform: Transform) -> None:
    """Put an actor somewhere; an attached one somewhere on its parent.

    Raises:
        UserError: It belongs to the map.
    """
    if actor.type_id.startswith("traffic."):
        raise UserError(f"actor {actor.id} ({actor.type_id}) belongs to the map and cannot move")
    if actor.relative is not None:
        actor.relative = transform
        return
    if isinstance(actor, Vehicle):
        episode.dynamics.teleport(actor.id, transform)
    actor.move(transform, actor.motion)


def control_vehicle(episode: Episode, vehicle: Vehicle, control: VehicleControl) -> None:
    """Command a vehicle until the next command."""
    vehicle.ackermann_target = vehicle.ackermann_controller = None
    vehicle.control = episode.dynamics.set_control(vehicle.id, control)
    vehicle.control_is_new = True


def choose_control(episode: Episode, vehicle: Vehicle, delta_s: float) -> None:
    """Decide what is commanded in the next step where the client's last control does not stand.

    An Ackermann command needs pedals chosen; a control that does not stick counts for one tick.
    """
    if vehicle.ackermann_target is not None:
        speed_mps = episode.dynamics.state(vehicle.id).forward_speed_mps
        if vehicle.ackermann_controller is None:
            vehicle.ackermann_controller = AckermannController(speed_mps)
        control = vehicle.ackermann_controller.control(
            vehicle.ackermann_target,
            vehicle.ackermann_gains,
            speed_mps=speed_mps,
            largest_steer_rad=episode.dynamics.largest_steer_rad(vehicle.id),
            delta_s=delta_s,
        )
        vehicle.control = episode.dynamics.set_control(vehicle.id, control)
    elif not vehicle.sticky_control:
        if not vehicle.control_is_new:
            vehicle.control = episode.dynamics.set_control(vehicle.id, VehicleControl())
        vehicle.control_is_new = False


def read_vehicle(episode: Episode, vehicle: Vehicle) -> None:
    """Copy a vehicle's motion from the dynamics, and look at what stands beside the road."""
    state = episode.dynamics.state(vehicle.id)
    if not vehicle.control.manual_gear_shift and vehicle.control.gear != state.gear:
        # CARLA shows the gear that the automatic gearbox has chosen.
        vehicle.control = vehicle.control._replace(gear=state.gear)
    location = state.transform.location
    if (episode.ticks + vehicle.id) % _LIMIT_EVERY_TICKS == 0:
        limits = episode.town.speed_limits
        vehicle.speed_limit_kmh = limits.at(location, vehicle.speed_limit_kmh)
    light = episode.lights.light_for(
        location, state.transform.rotation.yaw, vehicle.model.half_extent
    )
    seen = None if light is None else (episode.light_actor_ids[light.opendrive_id], light.state)
    if _waits_as_it_turns_red(vehicle.standing_at, seen, state.velocity):
        seen = None
    vehicle.standing_at = seen
    vehicle.move(state.transform, (state.velocity, state.angular_velocity, state.acceleration))


def _waits_as_it_turns_red(
    before: tuple[int, int] | None, now: tuple[int, int] | None, velocity: Vector3
) -> bool:
    """Say whether a vehicle waits in the area of a light that has just turned red.

    It is then at no light for one tick. The Traffic Manager keeps the green in which a vehicle came
    until it leaves the area: who waited there for a blocked junction would drive at the next red.
    """
    if before is None or now is None or now[1] != LightState.RED or before[1] == LightState.RED:
        return False
    return math.hypot(velocity.x, velocity.y) < _WAITING_MPS


def walk(episode: Episode, walker: Walker, delta_s: float) -> None:
    """Move a walker over the ground by its control; it jumps whenever it is on the ground."""
    if walker.led_tick is not None:
        if episode.ticks - walker.led_tick <= _LED_TICKS:
            return
        walker.led_tick, walker.speed_mps = None, 0.0
        walker.move(walker.transform)
    if not walker.simulated:
        return
    direction = walker.direction
    length = math.hypot(direction.x, direction.y)
    location, rotation = walker.transform
    velocity = Vector3()
    if length > 1e-6 and walker.speed_mps > 0.0:
        factor = walker.speed_mps / length
        velocity = Vector3(direction.x * factor, direction.y * factor, 0.0)
        rotation = Rotation(0.0, math.degrees(math.atan2(direction.y, direction.x)), 0.0)
    x, y = location.x + velocity.x * delta_s, location.y + velocity.y * delta_s
    feet_m = episode.town.ground.foothold(x, y, location.z - _WALKER_CENTRE_M)
    ground_m = feet_m + _WALKER_CENTRE_M
    stands = location.z <= ground_m + _STANDING_M
    rising_mps = walker.motion[0].z - _GRAVITY_MPS2 * delta_s
    if walker.jump and stands:
        rising_mps = _JUMP_MPS
    z = max(ground_m, location.z + rising_mps * delta_s)
    velocity = velocity._replace(z=0.0 if z == ground_m else rising_mps)
    walker.walked_m += math.hypot(velocity.x, velocity.y) * delta_s
    walker.move(Transform(Vector3(x, y, z), rotation), (velocity, Vector3(), Vector3()))


def lead(episode: Episode, walker: Walker, feet: Transform, speed_mps: float) -> None:
    """Put a walker where the client's navigation has it.

    Args:
        episode: Where.
        walker: Who.
        feet: Where it stands; CARLA, too, lifts the body from there.
        speed_mps: How fast it walks where it looks.
    """
    x, y, z = feet.location
    yaw = math.radians(feet.rotation.yaw)
    before = walker.transform.location
    walker.walked_m += math.hypot(x - before.x, y - before.y)
    walker.led_tick = episode.ticks
    walker.speed_mps = speed_mps
    walker.direction = Vector3(math.cos(yaw), math.sin(yaw), 0.0)
    place(episode, walker, Transform(Vector3(x, y, z + _WALKER_CENTRE_M), feet.rotation))
    velocity = Vector3(walker.direction.x * speed_mps, walker.direction.y * speed_mps, 0.0)
    walker.move(walker.transform, (velocity, Vector3(), Vector3()))


def carry(episode: Episode) -> None:
    """Move attached actors with what they are attached to; parents have smaller ids."""
    for actor in episode.actors:
        if actor.relative is not None:
            parent = episode.actors.get(actor.identity.parent_id, Actor)
            actor.move(compose(parent.transform, actor.relative), parent.motion)

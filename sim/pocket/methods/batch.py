"""Batches of commands."""

from __future__ import annotations

from typing import Any

from bicameral.errors import BicameralError, UserError
from sim.pocket.geometry import Transform
from sim.pocket.methods import motion, traffic_lights, vehicles, walkers
from sim.pocket.methods.dispatch import Method, answers_bare, fires, nothing
from sim.pocket.protocol.framing import value_error, value_result
from sim.pocket.protocol.values import (
    ActorDescription,
    Uint32,
    fields_from_wire,
    from_wire,
)
from sim.pocket.world import movement, spawning, tick
from sim.pocket.world.actors import Vehicle, Walker
from sim.pocket.world.world import World

_SPAWN, _DESTROY, _CONSOLE = 0, 1, 20
_SPAWN_FIELDS = 6
#: Commands chained with ``then`` may chain again; deeper than this nobody means it.
_DEEPEST_CHAIN = 8


def apply_batch(
    world: World, owner: object, commands: list[Any], do_tick: bool = False
) -> list[Any]:
    """Run commands in order.

    Returns:
        Per command ``[[1, actor id]]`` or ``[[0, [error]]]``; one failing command does not stop
        the others.
    """
    results = [_run(world, owner, command, 0, 0) for command in commands]
    if do_tick and world.settings.synchronous_mode:
        tick.advance(world)
    return results


def _run(world: World, owner: object, command: Any, future_actor: int, depth: int) -> list[Any]:
    """Run one command and wrap its outcome; errors stay with the command."""
    try:
        number, body = fields_from_wire(fields_from_wire(command, 1)[0], 2)
        if number == _SPAWN:
            return value_result(_spawn(world, owner, body, depth))
        if number == _CONSOLE:
            return value_result(0)
        actor_id = from_wire(Uint32, fields_from_wire(body, 1)[0]) or future_actor
        if number == _DESTROY:
            if not spawning.destroy(world.episode, actor_id):
                raise UserError(f"unable to destroy actor {actor_id}: not found")
        else:
            method = _COMMANDS.get(number) if isinstance(number, int) else None
            if method is None:
                raise UserError(f"there is no command {number!r}")
            values = fields_from_wire(body[1:], method.most - 1)
            method.call(world, owner, [actor_id, *values])
    except BicameralError as error:
        return value_error(str(error))
    return value_result(actor_id)


def _spawn(world: World, owner: object, body: Any, depth: int) -> int:
    if depth > _DEEPEST_CHAIN:
        raise UserError(f"commands are chained deeper than {_DEEPEST_CHAIN}")
    description, transform, parent, _attachment, _socket, do_after = fields_from_wire(
        body, _SPAWN_FIELDS
    )
    actor = spawning.spawn(
        world.episode,
        from_wire(ActorDescription, description),
        from_wire(Transform, transform),
        from_wire(Uint32 | None, parent) or 0,
    )
    for command in from_wire(list[Any], do_after):
        _run(world, owner, command, actor.id, depth + 1)
    return actor.id


#: The methods behind the numbers of the commands; all take the actor first.
_COMMANDS: dict[int, Method] = {
    2: fires(vehicles.apply_control_to_vehicle),
    3: fires(vehicles.apply_ackermann_control_to_vehicle),
    4: fires(walkers.apply_control_to_walker),
    5: fires(vehicles.apply_physics_control),
    6: fires(motion.set_actor_transform),
    7: fires(lambda world, *lead: movement.lead(world.episode, *lead), Walker, Transform, float),
    8: motion.METHODS["set_actor_target_velocity"],
    9: motion.METHODS["set_actor_target_angular_velocity"],
    10: motion.METHODS["add_actor_impulse"],
    11: motion.METHODS["add_actor_force"],
    12: motion.METHODS["add_actor_angular_impulse"],
    13: motion.METHODS["add_actor_torque"],
    14: fires(motion.set_actor_simulate_physics),
    15: fires(motion.set_actor_enable_gravity),
    16: fires(nothing, Vehicle, bool),
    17: fires(nothing, Vehicle, bool),
    18: fires(lambda car, flags: setattr(car, "light_state", flags), Vehicle, Uint32),
    19: fires(motion.set_actor_location),
    21: traffic_lights.METHODS["set_traffic_light_state"],
}

METHODS: dict[str, Method] = {"apply_batch": answers_bare(apply_batch)}

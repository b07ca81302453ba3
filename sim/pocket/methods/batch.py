"""Batches of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bicameral.errors import BicameralError, UserError
from sim.pocket.methods import motion, traffic_lights, vehicles, walkers
from sim.pocket.methods.method import Method, answers_bare
from sim.pocket.protocol.framing import value_error, value_result
from sim.pocket.protocol.values import (
    bool_from_wire,
    description_from_wire,
    fields_from_wire,
    list_from_wire,
    number_from_wire,
    optional_from_wire,
    transform_from_wire,
    uint_from_wire,
)
from sim.pocket.world import movement, spawning, tick
from sim.pocket.world.actors import Walker
from sim.pocket.world.world import World

_SPAWN, _DESTROY, _CONSOLE = 0, 1, 20
_SPAWN_FIELDS = 6
#: Commands chained with ``then`` may chain again; deeper than this nobody means it.
_DEEPEST_CHAIN = 8


def apply_batch(world: World, owner: object, commands: Any, do_tick: Any = False) -> list[Any]:
    """Run commands in order.

    Returns:
        Per command ``[[1, actor id]]`` or ``[[0, [error]]]``; one failing command does not stop
        the others.
    """
    results = [_run(world, owner, command, 0, 0) for command in list_from_wire(commands)]
    if bool_from_wire(do_tick) and world.settings.synchronous_mode:
        tick.advance(world)
    return results


def _run(world: World, owner: object, command: Any, future_actor: int, depth: int) -> list[Any]:
    """Run one command and wrap its outcome; errors stay with the command."""
    try:
        number, body = fields_from_wire(fields_from_wire(command, 1)[0], 2)[:2]
        if number == _SPAWN:
            return value_result(_spawn(world, owner, body, depth))
        if number == _CONSOLE:
            return value_result(0)
        fields = fields_from_wire(body, 1)
        actor_id = uint_from_wire(fields[0]) or future_actor
        if number == _DESTROY:
            if not spawning.destroy(world.episode, actor_id):
                raise UserError(f"unable to destroy actor {actor_id}: not found")
        else:
            _apply(world, owner, number, actor_id, fields[1:])
    except BicameralError as error:
        return value_error(str(error))
    return value_result(actor_id)


def _spawn(world: World, owner: object, body: Any, depth: int) -> int:
    if depth > _DEEPEST_CHAIN:
        raise UserError(f"commands are chained deeper than {_DEEPEST_CHAIN}")
    description, transform, parent, _attachment, _socket, do_after = fields_from_wire(
        body, _SPAWN_FIELDS
    )[:_SPAWN_FIELDS]
    parent_id = optional_from_wire(parent)
    actor = spawning.spawn(
        world,
        description_from_wire(description),
        transform_from_wire(transform),
        0 if parent_id is None else uint_from_wire(parent_id),
    )
    for command in list_from_wire(do_after):
        _run(world, owner, command, actor.id, depth + 1)
    return actor.id


def _apply(world: World, owner: object, number: Any, actor_id: int, values: list[Any]) -> None:
    handler = _COMMANDS.get(number) if isinstance(number, int) else None
    if handler is None:
        raise UserError(f"there is no command {number!r}")
    count = _VALUES_OF.get(number, 1)
    handler(world, owner, actor_id, *fields_from_wire(values, count)[:count])


def _apply_walker_state(
    world: World, _owner: object, actor_id: int, transform: Any, speed: Any
) -> None:
    """Put a walker where the client's navigation moved it."""
    walker = world.episode.actors.get(actor_id, Walker)
    walker.speed_mps = number_from_wire(speed)
    movement.place(world.episode, walker, transform_from_wire(transform))


def _set_light_state(world: World, owner: object, actor_id: int, flags: Any) -> None:
    vehicles.set_vehicle_light_state(world, owner, actor_id, [flags])


_COMMANDS: dict[int, Callable[..., Any]] = {
    2: vehicles.apply_control_to_vehicle,
    3: vehicles.apply_ackermann_control_to_vehicle,
    4: walkers.apply_control_to_walker,
    5: vehicles.apply_physics_control,
    6: motion.set_actor_transform,
    7: _apply_walker_state,
    8: motion.set_actor_target_velocity,
    9: motion.set_actor_target_angular_velocity,
    10: motion.add_actor_impulse,
    11: motion.add_actor_force,
    12: motion.add_actor_angular_impulse,
    13: motion.add_actor_torque,
    14: motion.set_actor_simulate_physics,
    15: motion.set_actor_enable_gravity,
    16: vehicles.accept_flag,
    17: vehicles.accept_flag,
    18: _set_light_state,
    19: motion.set_actor_location,
    21: traffic_lights.set_traffic_light_state,
}
#: Values after the actor id, where it is not one.
_VALUES_OF = {7: 2}

METHODS: dict[str, Method] = {"apply_batch": answers_bare(apply_batch)}

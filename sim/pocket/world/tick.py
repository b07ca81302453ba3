"""One tick: everything moves, then everybody is told."""

from __future__ import annotations

from sim.pocket.protocol.messages import (
    MAP_CHANGE,
    SENSOR_TYPE_IDS,
    WORLD_OBSERVER_TYPE_ID,
    join_snapshot,
    pack_episode_header,
    pack_sensor_header,
)
from sim.pocket.sensors.instrument import Instrument, Moment
from sim.pocket.sensors.surroundings import Surroundings
from sim.pocket.world import movement
from sim.pocket.world.actors import Vehicle, Walker
from sim.pocket.world.cameras import publish_images
from sim.pocket.world.collisions import collide, publish_collisions
from sim.pocket.world.world import World


def advance(world: World) -> int:
    """Simulate one step and send snapshot and sensor data.

    Returns:
        The frame number of the step.
    """
    episode = world.episode
    delta_s = world.delta_s
    world.frame += 1
    episode.ticks += 1
    episode.clock.advance(delta_s)
    episode.lights.step(delta_s)
    vehicles = episode.actors.of_class(Vehicle)
    for vehicle in vehicles:
        movement.choose_control(episode, vehicle, delta_s)
    if vehicles:
        episode.dynamics.step(world.physics_delta_s, world.substeps())
    for walker in episode.actors.of_class(Walker):
        movement.walk(episode, walker, delta_s)
    contacts = collide(episode, vehicles)
    for vehicle in vehicles:
        movement.read_vehicle(episode, vehicle)
    world.replayer.advance(world, delta_s)
    movement.carry(episode)
    world.recorder.take(world, contacts)
    if world.publisher.has_subscribers(world.world_stream_id):
        message = present_snapshot(world)
        episode.map_change_pending = False
        world.publisher.publish(world.world_stream_id, message)
    publish_collisions(episode, contacts, frame=world.frame, publisher=world.publisher)
    publish_images(world)
    _publish_measurements(world)
    return world.frame


def present_snapshot(world: World) -> tuple[bytes]:
    """Return the message that tells how the world is now, also for who has just subscribed.

    A client subscribes in the background and may tick before it has: without this message it
    would wait for a frame that was published before it listened. The first one after a load also
    tells who loaded that the map has changed.
    """
    episode = world.episode
    flags = MAP_CHANGE if episode.map_change_pending else 0
    snapshot = join_snapshot(
        pack_sensor_header(WORLD_OBSERVER_TYPE_ID, world.frame, episode.clock.now_s),
        pack_episode_header(episode.episode_id, world.platform_timestamp_s, world.delta_s, flags),
        (actor.record() for actor in episode.actors),
    )
    return (snapshot,)


def _publish_measurements(world: World) -> None:
    """Send what the sensors with an instrument measure."""
    episode, publisher = world.episode, world.publisher
    now_s = episode.clock.now_s
    moment = Moment(
        episode=episode,
        delta_s=world.delta_s,
        gravity_mps2=world.imui_gravity,
        surroundings=Surroundings(episode),
        publisher=publisher,
    )
    for sensor in episode.actors.of_class(Instrument):  # type: ignore[type-abstract]
        sensor.follow(moment)
        stream_id = sensor.identity.stream_id
        if not (sensor.take_turn(now_s) and publisher.has_subscribers(stream_id)):
            continue
        parts = sensor.measure(moment)
        if parts:
            type_id = SENSOR_TYPE_IDS[sensor.type_id]
            header = pack_sensor_header(type_id, world.frame, now_s, sensor.transform)
            publisher.publish(stream_id, (header, *parts))

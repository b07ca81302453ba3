"""Recording an episode and replaying it, through the real client."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path

import carla
import pytest

from sim.client.local_server import LocalServer

TICKS = 40
MOVED_AT, LEFT_AT = 10, 25


def synchronous(world: carla.World) -> carla.World:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    return world


class Run:
    """Two cars and a walker that were recorded for `TICKS`, and where they were."""

    def __init__(self, client: carla.Client, world: carla.World, path: Path) -> None:
        self.name = str(path)
        blueprints = world.get_blueprint_library()
        points = world.get_map().get_spawn_points()
        hero = blueprints.find("vehicle.audi.tt")
        hero.set_attribute("role_name", "hero")
        car, person = (
            blueprints.find(name) for name in ("vehicle.tesla.model3", "walker.pedestrian.0001")
        )
        self.hero = world.spawn_actor(hero, points[0])
        self.car = world.spawn_actor(car, points[9])
        self.walker = world.spawn_actor(person, points[20])
        self.actors = [self.hero, self.car, self.walker]
        camera = blueprints.find("sensor.camera.depth")
        camera.set_attribute("image_size_x", "16")
        camera.set_attribute("image_size_y", "16")
        mounted = carla.Transform(carla.Location(x=1.0, z=2.0))
        camera = world.spawn_actor(camera, mounted, attach_to=self.hero)
        world.tick()
        self.answer = client.start_recorder(self.name, True)
        self.poses: list[list[carla.Transform]] = []
        self.speeds: list[list[float]] = []
        for number in range(TICKS):
            if number == MOVED_AT:
                self.car.set_light_state(carla.VehicleLightState.LowBeam)
                world.set_weather(carla.WeatherParameters.WetNoon)
            if number == LEFT_AT:
                self.car.destroy()
            self._drive(number)
            world.tick()
            alive = [actor for actor in self.actors if actor.is_alive]
            self.poses.append([actor.get_transform() for actor in alive])
            self.speeds.append([actor.get_velocity().length() for actor in alive])
        client.stop_recorder()
        camera.destroy()
        for actor in (self.hero, self.walker):
            actor.destroy()
        world.set_weather(carla.WeatherParameters.ClearNoon)
        world.tick()

    def _drive(self, number: int) -> None:
        self.hero.apply_control(carla.VehicleControl(throttle=0.8, steer=0.2))
        if number < LEFT_AT:
            self.car.apply_control(carla.VehicleControl(throttle=0.6))
        self.walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.5))


@pytest.fixture(scope="module")
def run(client, towns, tmp_path_factory) -> Run:
    world = synchronous(towns.open("Harbour"))
    return Run(client, world, tmp_path_factory.mktemp("recordings") / "run.log")


@pytest.fixture(autouse=True)
def tidy(client) -> Iterator[None]:
    yield
    client.stop_replayer(False)
    client.set_replayer_time_factor(1.0)
    client.set_replayer_ignore_hero(False)
    client.set_replayer_ignore_spectator(True)


def replayed(world: carla.World) -> list[carla.Actor]:
    """Return the cars and the walker in the order in which they were spawned."""
    found = world.get_actors()
    moving = [actor for actor in found if actor.type_id.startswith(("vehicle.", "walker."))]
    return sorted(moving, key=lambda actor: actor.id)


def distances(actors: list[carla.Actor], poses: list[carla.Transform]) -> list[float]:
    assert len(actors) == len(poses)
    return [
        actor.get_location().distance(pose.location)
        for actor, pose in zip(actors, poses, strict=True)
    ]


def test_a_recording_says_where_it_is_and_what_is_in_it(client, run):
    assert run.answer == run.name
    text = client.show_recorder_file_info(run.name, False)
    assert f" Create {run.car.id}: vehicle.tesla.model3 (1) at (" in text
    assert f" Destroy {run.car.id}\n" in text
    assert f"Frames: {TICKS}\n" in text
    long = client.show_recorder_file_info(run.name, True)
    assert f"  Id: {run.car.id} LowBeam" in long
    assert " Physics Control events: 2" in long
    assert "Duration" in client.show_recorder_collisions(run.name, "h", "a")
    blocked = client.show_recorder_actors_blocked(run.name, 0.5, 1000.0)
    assert "walker.pedestrian.0001" in blocked


def test_a_replay_moves_the_actors_as_they_were(client, world, run):
    answer = client.replay_file(run.name, 0.0, 0.0, 0)
    assert "Total time recorded: 1.95\n" in answer
    for number in range(1, TICKS):
        world.tick()
        actors = replayed(world)
        assert max(distances(actors, run.poses[number])) < 1e-4, number
        speeds = [actor.get_velocity().length() for actor in actors]
        assert speeds == pytest.approx(run.speeds[number], abs=1e-3)
    assert world.get_weather().wetness == carla.WeatherParameters.WetNoon.wetness
    assert replayed(world)[0].get_control().throttle == pytest.approx(0.8)


def test_a_replay_takes_over_actors_that_are_there(client, world, run, tmp_path):
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    client.start_recorder(str(tmp_path / "own.log"))
    ticks = []
    for _ in range(10):
        car.apply_control(carla.VehicleControl(throttle=1.0))
        world.tick()
        ticks.append(car.get_transform())
    client.stop_recorder()
    client.replay_file(str(tmp_path / "own.log"), 0.0, 0.0, 0)
    for pose in ticks[1:]:
        world.tick()
        assert [one.id for one in replayed(world)] == [car.id]
        assert car.get_location().distance(pose.location) < 1e-4
    world.tick()  # the replay is over: the car stands and obeys again
    for _ in range(20):
        car.apply_control(carla.VehicleControl(throttle=1.0))
        world.tick()
    assert car.get_location().distance(ticks[-1].location) > 0.05


def test_a_part_can_be_replayed_at_another_speed(client, world, run):
    client.set_replayer_time_factor(0.5)
    assert "Replaying from 0.5 s - 1 s (1.95 s) at 0.5x" in client.replay_file(
        run.name, 0.5, 0.5, 0
    )
    for number in range(1, 21):
        world.tick()
        before, after = run.poses[10 + number // 2], run.poses[10 + (number + 1) // 2]
        for actor, one, other in zip(replayed(world), before, after, strict=True):
            middle = 0.5 * (one.location + other.location)
            assert actor.get_location().distance(middle) < 1e-3
    client.replay_file(run.name, -0.5, 0.0, 0)
    world.tick()
    assert max(distances(replayed(world), run.poses[29])) < 0.2


def test_the_spectator_follows_whom_it_is_told_to(client, world, run):
    offset = carla.Transform(carla.Location(x=-6.0, z=3.0), carla.Rotation(pitch=-20.0))
    client.replay_file(run.name, 0.0, 0.0, run.hero.id, False, offset)
    world.tick()
    hero, seen = replayed(world)[0].get_transform(), world.get_spectator().get_transform()
    assert seen.location.distance(hero.transform(offset.location)) < 1e-3
    assert seen.rotation.pitch == pytest.approx(-20.0, abs=0.5)


def test_the_hero_can_be_left_out(client, world, run):
    client.set_replayer_ignore_hero(True)
    assert "Ignoring Hero vehicle" in client.replay_file(run.name, 0.0, 0.0, 0)
    world.tick()
    kinds = [actor.type_id for actor in replayed(world)]
    assert kinds == ["vehicle.tesla.model3", "walker.pedestrian.0001"]


def test_sensors_come_back_when_asked_for(client, world, run):
    client.replay_file(run.name, 0.0, 0.0, 0, False)
    world.tick()
    assert not world.get_actors().filter("sensor.*")
    client.stop_replayer(False)
    client.replay_file(run.name, 0.0, 0.0, 0, True)
    world.tick()
    (camera,) = world.get_actors().filter("sensor.camera.depth")
    assert camera.parent.id == replayed(world)[0].id
    images: queue.Queue[carla.Image] = queue.Queue()
    camera.listen(images.put)
    frame = world.tick()
    assert images.get(timeout=60.0).frame == frame
    camera.stop()


@pytest.mark.parametrize("keep", [True, False])
def test_what_a_replay_brought_stays_or_goes_when_it_is_stopped(client, world, run, keep):
    client.replay_file(run.name, 0.0, 0.0, 0)
    world.tick()
    client.stop_replayer(keep)
    world.tick()
    assert len(replayed(world)) == (3 if keep else 0)


def test_a_replay_opens_the_map_of_its_recording(client, towns, run):
    synchronous(towns.open("Ridgeway"))
    assert "Loading map Harbour" in client.replay_file(run.name, 0.0, 0.0, 0)
    world = client.get_world()
    assert world.get_map().name.endswith("Harbour")
    world.tick()
    assert max(distances(replayed(world), run.poses[1])) < 1e-4


def test_what_is_no_recording_is_refused_with_the_reason(client, run, tmp_path):
    (tmp_path / "other.log").write_text("something else")
    for path, reason in (
        (tmp_path / "none.log", "there is no recording"),
        (tmp_path / "other.log", "no recording of the pocket simulator"),
    ):
        with pytest.raises(RuntimeError, match=reason):
            client.show_recorder_file_info(str(path), True)
        with pytest.raises(RuntimeError, match=reason):
            client.replay_file(str(path), 0.0, 0.0, 0)
    with pytest.raises(RuntimeError, match="nothing was overwritten"):
        client.start_recorder(str(tmp_path / "other.log"))
    with pytest.raises(RuntimeError, match="is not in the recording"):
        client.replay_file(run.name, 100.0, 0.0, 0)


def test_a_load_ends_a_recording_and_a_replay(client, towns, run, tmp_path):
    world = synchronous(towns.open("Harbour"))
    client.start_recorder(str(tmp_path / "short.log"))
    world.tick()
    world = client.reload_world(False)
    world.tick()
    assert "Frames: 1\n" in client.show_recorder_file_info(str(tmp_path / "short.log"), False)
    client.replay_file(run.name, 0.0, 0.0, 0)
    world = client.reload_world(False)
    world.tick()
    assert not replayed(world)


def test_the_recording_of_a_server_that_was_killed_can_be_replayed(client, world, tmp_path):
    name = str(tmp_path / "killed.log")
    with LocalServer() as other:
        killed = other.connect()
        itself = synchronous(killed.get_world())
        killed.start_recorder(name)
        for _ in range(5):
            itself.tick()
        os.kill(other.process_id, signal.SIGKILL)
    text = client.show_recorder_file_info(name, False)
    assert "Frames: 5\n" in text
    assert "Replaying from 0 s - 0.2 s" in client.replay_file(name, 0.0, 0.0, 0)

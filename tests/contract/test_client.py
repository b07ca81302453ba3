"""The project's client against a running simulator: versions, towns, weather, the ego vehicle."""

import math
import socket

import carla
import numpy as np
import pytest

from bicameral.errors import SimulatorLostError, UserError, VersionMismatchError
from bicameral.simulation import TICK_S
from bicameral.types import AGENT_CAMERA, PACE_CAMERA, Control, Pose
from sim.client import connection
from sim.client.connection import connect, driven_town, open_town, simulator_kind
from sim.client.ego import CHASE_CAMERA, CameraSetup, Ego, MountError
from sim.client.weather import WEATHERS, apply_weather


@pytest.fixture
def spawn_pose(world):
    point = world.get_map().get_spawn_points()[0]
    road = world.get_map().get_waypoint(point.location).transform
    return Pose(
        x_m=road.location.x,
        y_m=road.location.y,
        z_m=road.location.z,
        yaw_rad=math.radians(road.rotation.yaw),
    )


def test_nobody_at_the_address_is_said_at_once(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SimulatorLostError, match=f"nothing answers at 127.0.0.1:{port}"):
            connect(port=port)


def test_another_version_is_refused_with_what_to_do(server, monkeypatch):
    monkeypatch.setattr(connection, "CARLA_VERSION", "0.9.15")
    with pytest.raises(VersionMismatchError, match=r"'0\.9\.16'.*Install carla==0\.9\.15"):
        connect(server.host, server.port)


def test_the_pocket_simulator_is_told_from_carla(client):
    assert simulator_kind(client) == "pocket"


def test_an_unknown_town_is_answered_with_the_known_ones(client):
    with pytest.raises(UserError, match=r"unknown town 'Harbor'.*Did you mean 'Harbour'"):
        open_town(client, "Harbor")


def test_settings_are_given_back_even_after_an_error(client):
    before = client.get_world().get_settings()
    with pytest.raises(ZeroDivisionError):
        _fail_inside(client)
    assert client.get_world().get_settings() == before


def _fail_inside(client):
    with driven_town(client, "Harbour") as world:
        inside = world.get_settings()
        assert (inside.synchronous_mode, inside.fixed_delta_seconds) == (True, TICK_S)
        raise ZeroDivisionError


@pytest.mark.parametrize("name", WEATHERS)
def test_a_weather_arrives_field_by_field(world, name):
    apply_weather(world, WEATHERS[name])
    shown = world.get_weather()
    for field in WEATHERS[name].__dataclass_fields__:
        assert getattr(shown, field) == pytest.approx(getattr(WEATHERS[name], field))


def test_every_observation_is_of_exactly_its_tick(world, spawn_pose):
    setup = CameraSetup(pace=PACE_CAMERA)
    with Ego(
        world, spawn_pose, camera=AGENT_CAMERA, camera_setup=setup, chase_camera=CHASE_CAMERA
    ) as ego:
        for tick in range(12):
            frame = world.tick()
            seen = ego.observe(frame, tick * TICK_S)
            assert seen.frame == frame
            assert seen.image.shape == (160, 320, 3)
            assert seen.image.flags.c_contiguous
            assert seen.pace_image.shape == (160, 320, 3)
            ego.apply(Control(throttle=1.0))
        assert seen.speed_mps > 0.2
        assert math.hypot(seen.pose.x_m - spawn_pose.x_m, seen.pose.y_m - spawn_pose.y_m) < 3.0
        assert abs(seen.pose.z_m - spawn_pose.z_m) < 0.1
        assert ego.chase_image().shape == (180, 320, 3)


def test_red_is_the_first_channel(world, spawn_pose):
    apply_weather(world, WEATHERS["clear"])
    with Ego(world, spawn_pose, camera=AGENT_CAMERA) as ego:
        image = ego.observe(world.tick(), 0.0).image.astype(float)
    red, _, blue = image[:10].mean(axis=(0, 1))
    assert blue > red, "the sky of a clear day is blue"


def test_a_camera_mounted_wrongly_shows_the_same_road_elsewhere(world, spawn_pose):
    def shown(**wrong):
        setup = CameraSetup(error=MountError(**wrong))
        with Ego(world, spawn_pose, camera=AGENT_CAMERA, camera_setup=setup) as ego:
            return ego.observe(world.tick(), 0.0).image.astype(float)

    def distance(first, second):
        return float(np.abs(first - second).mean())

    right = shown()
    # Looking up moves the road down, by 112 pixels (the focal length) times 3 degrees.
    for wrong, pixels, axis in (({"pitch_deg": 3.0}, 6, 0), ({"yaw_deg": 3.0}, -6, 1)):
        askew = shown(**wrong)
        inner = (slice(20, -20), slice(120, -120))
        there = np.roll(right, pixels, axis)[inner]
        back = np.roll(right, -pixels, axis)[inner]
        assert distance(askew[inner], there) < distance(askew[inner], back)
    assert distance(shown(y_m=0.2), right) > 0.0


def test_an_observation_of_another_frame_is_refused(world, spawn_pose):
    with Ego(world, spawn_pose, camera=None) as ego:
        frame = world.tick()
        assert ego.observe(frame, 0.0).image is None
        with pytest.raises(SimulatorLostError, match=f"frame {frame + 1}"):
            ego.observe(frame + 1, 0.0)


def test_driving_off_the_lane_is_reported_with_its_markings(world, spawn_pose):
    with Ego(world, spawn_pose, camera=None) as ego:
        for _ in range(120):
            world.tick()
            ego.apply(Control(throttle=0.6, steer=-0.15))
        assert ego.lane_invasions
        assert all(event.markings for event in ego.lane_invasions)


def test_nothing_of_the_ego_stays_behind(world, spawn_pose):
    def actors():
        return sorted(actor.id for actor in world.get_actors())

    before = actors()
    with Ego(world, spawn_pose, camera=AGENT_CAMERA):
        world.tick()
        assert len(actors()) > len(before)
    world.tick()
    assert actors() == before


def test_an_occupied_place_is_said_with_its_coordinates(world, spawn_pose):
    with Ego(world, spawn_pose, camera=None):
        world.tick()
        with pytest.raises(UserError, match=rf"x={spawn_pose.x_m:.2f}.*occupied"):
            Ego(world, spawn_pose, camera=None)


def test_a_control_that_is_no_number_never_reaches_the_vehicle(world, spawn_pose):
    with Ego(world, spawn_pose, camera=None) as ego:
        with pytest.raises(ValueError, match="finite"):
            ego.apply(Control(steer=math.nan))
        ego.apply(Control(steer=7.0))
        world.tick()
        world.tick()
        assert ego.vehicle.get_control().steer == 1.0


def test_the_same_ticks_give_the_same_drive_in_a_fresh_world(client):
    def drive():
        with driven_town(client, "Harbour") as world:
            apply_weather(world, WEATHERS["night"])
            point = world.get_map().get_spawn_points()[3]
            pose = Pose(
                x_m=point.location.x,
                y_m=point.location.y,
                z_m=point.location.z - 0.3,
                yaw_rad=math.radians(point.rotation.yaw),
            )
            with Ego(world, pose, camera=AGENT_CAMERA) as ego:
                seen = []
                for tick in range(20):
                    seen.append(ego.observe(world.tick(), tick * TICK_S))
                    ego.apply(Control(throttle=0.7, steer=0.1))
        return seen

    first, second = drive(), drive()
    assert [a.pose for a in first] == [b.pose for b in second]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_a_town_from_an_opendrive_file_is_opened_by_path(client, tmp_path):
    with driven_town(client, "Harbour") as world:
        text = world.get_map().to_opendrive()
    (tmp_path / "mine.xodr").write_text(text)
    with driven_town(client, tmp_path / "mine.xodr") as world:
        assert isinstance(world, carla.World)
        assert world.get_map().to_opendrive() == text
    with pytest.raises(UserError, match=r"none\.xodr"):
        open_town(client, tmp_path / "none.xodr")

"""Versions, maps, settings, ticks and snapshots, through the real client."""

import time

import carla
import pytest


def test_client_and_server_speak_the_same_version(client):
    assert client.get_server_version() == client.get_client_version() == "0.9.16"


def test_available_maps_have_carlas_long_names(client):
    maps = client.get_available_maps()
    assert "/Game/Carla/Maps/Harbour" in maps
    assert "/Game/Carla/Maps/Ridgeway" in maps


def test_every_town_has_a_map_with_spawn_points_on_its_lanes(town):
    town_map = town.get_map()
    points = town_map.get_spawn_points()
    assert len(points) >= 20
    assert len({(round(p.location.x, 2), round(p.location.y, 2)) for p in points}) == len(points)
    for point in points[::10]:
        assert -180.0 <= point.rotation.yaw <= 180.0
        waypoint = town_map.get_waypoint(point.location)
        assert waypoint.transform.location.distance(point.location) < 1.5
    assert town_map.get_topology()


@pytest.mark.parametrize(
    "name", ["Ridgeway", "Carla/Maps/Harbour", "/Game/Carla/Maps/Ridgeway", "Harbour_Opt"]
)
def test_load_world_takes_short_and_long_names(client, name):
    before = client.get_world().id
    world = client.load_world(name)
    assert world.id != before
    assert world.get_map().name.endswith(name.rsplit("/", 1)[-1])


def test_an_unknown_map_is_an_error_and_the_old_world_goes_on(client):
    before = client.get_world().id
    with pytest.raises(RuntimeError, match=r"Nowhere.*Harbour.*--maps FOLDER"):
        client.load_world("Nowhere")
    assert client.get_world().id == before


def test_text_that_is_no_opendrive_is_an_error(client):
    with pytest.raises(RuntimeError):
        client.generate_opendrive_world("no map", carla.OpendriveGenerationParameters())
    assert client.get_world().get_map().get_spawn_points()


def test_reload_world_starts_the_same_map_anew(client, world):
    bp = world.get_blueprint_library().find("vehicle.tesla.model3")
    vehicle = world.spawn_actor(bp, world.get_map().get_spawn_points()[0])
    world.tick()
    frame = world.get_snapshot().frame
    fresh = client.reload_world(False)
    assert fresh.get_map().name == world.get_map().name
    assert fresh.get_settings().synchronous_mode
    assert fresh.tick() > frame
    assert fresh.get_snapshot().timestamp.elapsed_seconds < 1.0
    assert not fresh.get_actors().filter("vehicle.*")
    assert fresh.get_actor(vehicle.id) is None


def test_loading_resets_the_settings_unless_told_otherwise(client, world):
    assert world.get_settings().synchronous_mode
    assert client.load_world("Harbour", False).get_settings().synchronous_mode
    assert not client.load_world("Harbour", True).get_settings().synchronous_mode


def test_a_second_client_notices_the_new_map(server, client):
    other = server.connect()
    first = client.load_world("Harbour")
    seen = other.get_world()
    seen.wait_for_tick()
    assert seen.get_map().name == first.get_map().name
    client.load_world("Ridgeway")
    seen.wait_for_tick()
    seen.wait_for_tick()
    assert other.get_world().get_map().name.endswith("Ridgeway")


def test_settings_come_back_as_they_were_set(world):
    settings = world.get_settings()
    settings.fixed_delta_seconds = 0.025
    settings.max_substeps = 7
    settings.max_substep_delta_time = 0.005
    settings.tile_stream_distance = 123.0
    settings.no_rendering_mode = True
    world.apply_settings(settings)
    found = world.get_settings()
    assert found.synchronous_mode
    assert found.fixed_delta_seconds == pytest.approx(0.025)
    assert found.max_substeps == 7
    assert found.tile_stream_distance == 123.0
    assert found.no_rendering_mode
    settings.no_rendering_mode = False
    world.apply_settings(settings)


def test_a_tick_advances_one_frame_and_one_time_step(world):
    for delta_s in (0.05, 0.1, 0.0333):
        settings = world.get_settings()
        settings.fixed_delta_seconds = delta_s
        world.apply_settings(settings)
        world.tick()
        before = world.get_snapshot()
        frames = [world.tick() for _ in range(10)]
        after = world.get_snapshot()
        assert frames == list(range(before.frame + 1, before.frame + 11))
        assert after.frame == frames[-1]
        assert after.timestamp.delta_seconds == pytest.approx(delta_s)
        passed = after.timestamp.elapsed_seconds - before.timestamp.elapsed_seconds
        assert passed == pytest.approx(10 * delta_s, abs=1e-9)


def test_time_is_an_exact_multiple_of_the_step(client, world):
    fresh = client.reload_world(False)
    first = fresh.tick()
    start = fresh.get_snapshot().timestamp.elapsed_seconds
    for _ in range(200):
        frame = fresh.tick()
        now = fresh.get_snapshot().timestamp.elapsed_seconds
        assert now == round(start / 0.05 + frame - first) * 0.05


def test_nothing_happens_between_ticks_of_a_synchronous_world(world):
    frame = world.tick()
    other_frames = []
    callback = world.on_tick(lambda snapshot: other_frames.append(snapshot.frame))
    world.get_actors()
    world.get_settings()
    next_frame = world.tick()
    world.remove_on_tick(callback)
    assert next_frame == frame + 1
    assert set(other_frames) <= {next_frame}


def test_an_asynchronous_world_runs_by_itself(world):
    settings = world.get_settings()
    settings.synchronous_mode = False
    settings.fixed_delta_seconds = None
    world.apply_settings(settings)
    began = time.monotonic()
    snapshots = [world.wait_for_tick(5.0) for _ in range(10)]
    assert time.monotonic() - began < 5.0
    frames = [snapshot.frame for snapshot in snapshots]
    assert frames == sorted(set(frames))


def test_a_second_client_sees_the_ticks_of_the_first(server, world):
    other = server.connect().get_world()
    frame = world.tick()
    assert other.tick() == frame + 1
    assert other.get_snapshot().frame == frame + 1


def test_a_client_that_comes_between_ticks_is_told_the_present_frame(server, world):
    frame = world.tick()
    other = server.connect().get_world()
    deadline_s = time.monotonic() + 180.0
    while other.get_snapshot().frame != frame and time.monotonic() < deadline_s:
        pass
    assert other.get_snapshot().frame == frame


def test_no_file_has_to_be_fetched(client):
    assert client.get_required_files("", False) == []

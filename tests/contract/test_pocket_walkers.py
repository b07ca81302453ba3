"""Walkers that find their way, through the real client and its own navigation."""

import math
import os
import time
from pathlib import Path

import carla
import numpy as np
import pytest
import shapely

from sim.pocket.navigation.mesh import Area
from tests.awaited_meshes import read_mesh

WALKERS = 8


@pytest.fixture(scope="module")
def mesh(client, towns):
    """The mesh of Harbour, after which a client that loads the town gets it at once."""
    towns.open("Harbour")
    deadline_s = time.monotonic() + 300.0
    while not (names := client.get_required_files("Nav", False)):
        assert time.monotonic() < deadline_s
    client.load_world("Harbour")
    return read_mesh(cached(names[0]).read_bytes())


def cached(name):
    """Return where the client keeps a file that it has fetched."""
    return Path(os.environ["CARLA_CACHE_DIR"]) / "0.9.16" / name


@pytest.fixture
def streets(mesh, world):
    """A synchronous world whose walkers find their way, always in the same manner."""
    world.set_pedestrians_seed(7)
    world.set_pedestrians_cross_factor(0.0)
    return world


def spawn_walkers(world, count, places=None):
    library = world.get_blueprint_library()
    bodies, controllers = [], []
    for number in range(count):
        place = places[number] if places else world.get_random_location_from_navigation()
        place.z += 1.0
        body = world.try_spawn_actor(
            library.find(f"walker.pedestrian.{number + 1:04d}"), carla.Transform(place)
        )
        if body is not None:
            bodies.append(body)
    world.tick()
    for body in bodies:
        blueprint = library.find("controller.ai.walker")
        controllers.append(world.spawn_actor(blueprint, carla.Transform(), body))
    world.tick()
    for controller in controllers:
        controller.start()
    return bodies, controllers


def areas_under(mesh, points):
    """Return the area of the mesh below each place, 0 beside it."""
    triangles = shapely.polygons(mesh.vertices[mesh.triangles][..., :2])
    tree = shapely.STRtree(triangles)
    places, found = tree.query(shapely.points(points), predicate="intersects")
    result = np.zeros(len(points), int)
    result[places] = mesh.areas[found]
    return result


def end(world, controllers):
    for controller in controllers:
        controller.stop()
    world.tick()


def test_walkers_walk_on_sidewalks_and_crosswalks(streets, mesh):
    bodies, controllers = spawn_walkers(streets, WALKERS)
    for controller in controllers:
        controller.go_to_location(streets.get_random_location_from_navigation())
        controller.set_max_speed(1.4)
    tracks = []
    for tick in range(600):
        streets.tick()
        if tick >= 20:
            tracks.append([(p.x, p.y, p.z) for p in (body.get_location() for body in bodies)])
    end(streets, controllers)
    track = np.array(tracks)
    lengths = np.linalg.norm(np.diff(track[..., :2], axis=0), axis=2).sum(axis=0)
    assert (lengths > 20.0).sum() >= 0.9 * len(bodies)
    under = areas_under(mesh, track[..., :2].reshape(-1, 2))
    assert np.isin(under, (Area.SIDEWALK, Area.CROSSWALK)).mean() >= 0.98
    feet_m = track[::20, :, 2] - 0.93
    for place, foot_m in zip(track[::20].reshape(-1, 3), feet_m.ravel(), strict=True):
        lane = streets.get_map().get_waypoint(carla.Location(*map(float, place)))
        assert -0.05 <= foot_m - lane.transform.location.z <= 0.2


def test_walkers_look_where_they_walk_and_say_how_fast(streets):
    bodies, controllers = spawn_walkers(streets, 3)
    for controller in controllers:
        controller.go_to_location(streets.get_random_location_from_navigation())
        controller.set_max_speed(2.0)
    moved = 0
    for _ in range(60):
        before = [body.get_location() for body in bodies]
        streets.tick()
        for body, place in zip(bodies, before, strict=True):
            step, said = body.get_location() - place, body.get_velocity()
            speed_mps = math.hypot(said.x, said.y)
            assert speed_mps < 2.1
            assert body.get_control().speed == pytest.approx(speed_mps)
            if speed_mps > 1.9:  # it does not turn, and it does not wait before a crosswalk
                moved += 1
                assert math.hypot(step.x, step.y) == pytest.approx(speed_mps * 0.05, abs=0.03)
    assert moved > 60
    for body in bodies:
        ahead, said = body.get_transform().get_forward_vector(), body.get_velocity()
        assert ahead.x * said.x + ahead.y * said.y >= 0.95 * math.hypot(said.x, said.y)
    end(streets, controllers)


def test_a_walker_whose_controller_is_stopped_stands_where_it_is(streets):
    bodies, controllers = spawn_walkers(streets, 3)
    for controller in controllers:
        controller.go_to_location(streets.get_random_location_from_navigation())
    for _ in range(30):
        streets.tick()
    end(streets, controllers)
    before = [body.get_location() for body in bodies]
    for _ in range(20):
        streets.tick()
    for body, place in zip(bodies, before, strict=True):
        assert body.get_location().distance(place) < 0.2
        assert body.get_velocity().length() == 0.0
        assert body.get_control().speed == 0.0


def test_the_same_seed_gives_the_same_ways(client, mesh):
    def walk():
        world = client.load_world("Harbour", False)
        world.set_pedestrians_seed(11)
        world.set_pedestrians_cross_factor(0.5)
        bodies, controllers = spawn_walkers(world, 4)
        for controller in controllers:
            controller.go_to_location(world.get_random_location_from_navigation())
        track = []
        for _ in range(100):
            world.tick()
            track.append([(p.x, p.y, p.z) for p in (body.get_location() for body in bodies)])
        end(world, controllers)
        return track

    client.get_world().apply_settings(
        carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05)
    )
    assert walk() == walk()


@pytest.mark.parametrize(("share", "crosses"), [(0.0, False), (1.0, True)])
def test_only_walkers_that_may_cross_the_road_do(streets, mesh, share, crosses):
    streets.set_pedestrians_cross_factor(share)
    start, goal = opposite_sidewalks(streets, mesh)
    (body,), (controller,) = spawn_walkers(streets, 1, [carla.Location(*start)])
    controller.go_to_location(carla.Location(*goal))
    controller.set_max_speed(3.0)
    for _ in range(200):
        streets.tick()
        if body.get_location().distance_2d(carla.Location(*goal)) < 1.5:
            break
    end(streets, [controller])
    assert (body.get_location().distance_2d(carla.Location(*goal)) < 1.5) == crosses


def opposite_sidewalks(world, mesh):
    """Return places on both sides of a street, far from any crosswalk."""
    points = mesh.vertices[mesh.triangles]
    crosswalks = points[mesh.areas == Area.CROSSWALK].mean(axis=1)[:, :2]
    sidewalks = points[mesh.areas == Area.SIDEWALK].mean(axis=1)
    for spawn in world.get_map().get_spawn_points():
        place = np.array((spawn.location.x, spawn.location.y))
        if np.linalg.norm(crosswalks - place, axis=1).min() < 60.0:
            continue
        right = spawn.get_right_vector()
        near = np.linalg.norm(sidewalks[:, :2] - place, axis=1) < 14.0
        across = (sidewalks[:, :2] - place) @ np.array((right.x, right.y))
        if (near & (across < -2.0)).any() and (near & (across > 2.0)).any():
            here = sidewalks[near][np.argmax(across[near])]
            there = sidewalks[near][np.argmin(across[near])]
            return tuple(map(float, here)), tuple(map(float, there))
    raise AssertionError("no street far from crosswalks")


def test_the_file_is_kept_under_a_name_that_is_not_carlas(client, mesh):
    (name,) = client.get_required_files("Nav", False)
    folder, kind, file = name.split("/")
    assert (folder, kind) == ("pocket", "Nav")
    assert file.startswith("Harbour-")
    assert file.endswith(".bin")
    assert cached(name).stat().st_size > 100_000
    assert client.get_required_files("TM", False) == []
    assert client.get_required_files("", False) == []
    with pytest.raises(RuntimeError, match="there is no file"):
        client.request_file("Carla/Nav/Harbour.bin")


@pytest.fixture
def walker(world):
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    body = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[3])
    for _ in range(20):
        world.tick()
    return body


def bones_of(walker):
    return {bone.name: bone for bone in walker.get_bones().bone_transforms}


def go(world, walker, speed_mps, ticks):
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), speed_mps, False))
    for _ in range(ticks):
        world.tick()


def test_a_standing_walker_has_the_bones_that_carlas_example_draws(world, walker):
    bones = bones_of(walker)
    assert {"crl_root", "crl_hips__C", "crl_Head__C", "crl_handIndexEnd__R"} <= set(bones)
    assert len(bones) == 66
    ground_m = walker.get_location().z - 0.93
    heights = {name: bone.world.location.z - ground_m for name, bone in bones.items()}
    assert 0.0 <= heights["crl_toe__L"] < heights["crl_leg__L"] < heights["crl_hips__C"]
    assert heights["crl_hips__C"] < heights["crl_shoulder__R"] < heights["crl_Head__C"] < 1.86
    right = walker.get_transform().get_right_vector()
    across = bones["crl_hand__R"].world.location - bones["crl_hand__L"].world.location
    assert across.x * right.x + across.y * right.y > 0.3
    assert bones["crl_neck__C"].component.location.z == pytest.approx(1.5)
    assert walker.get_bone_names() == [*bones]
    worlds = [bone.location for bone in walker.get_bone_world_transforms()]
    assert worlds == [bone.world.location for bone in bones.values()]


def test_the_legs_of_a_walker_swing_with_its_way_and_a_foot_stays_on_the_ground(world, walker):
    def ahead_m(name):
        return bones_of(walker)[name].component.location.x

    assert ahead_m("crl_foot__L") == pytest.approx(ahead_m("crl_foot__R"))
    gaps = []
    for _ in range(30):
        go(world, walker, 1.4, 1)
        gaps.append(ahead_m("crl_foot__L") - ahead_m("crl_foot__R"))
        lowest_m = min(bones_of(walker)[f"crl_foot__{s}"].component.location.z for s in "LR")
        assert lowest_m == pytest.approx(0.08, abs=1e-3)
    assert min(gaps) < -0.3
    assert max(gaps) > 0.3
    go(world, walker, 0.0, 1)
    assert ahead_m("crl_foot__L") == pytest.approx(ahead_m("crl_foot__R"))


def test_a_pose_that_was_set_shows_as_far_as_it_is_blended_in(world, walker):
    lifted = carla.Transform(carla.Location(x=0.1, z=0.2), carla.Rotation(pitch=40.0))
    control = carla.WalkerBoneControlIn()
    control.bone_transforms = [("crl_arm__R", lifted), ("nonesuch", lifted)]
    walker.set_bones(control)

    def arm():
        return bones_of(walker)["crl_arm__R"].relative

    before = arm()
    for share in (0.0, 0.5, 1.0):
        walker.blend_pose(share)
        assert arm().rotation.pitch == pytest.approx(40.0 * share, abs=1e-3)
        wanted_m = before.location.z + share * (0.2 - before.location.z)
        assert arm().location.z == pytest.approx(wanted_m, abs=1e-3)
    walker.get_pose_from_animation()
    assert arm().rotation.pitch == pytest.approx(0.0)
    walker.hide_pose()
    walker.show_pose()


def test_a_walker_jumps_and_lands(world, walker):
    ground_m = walker.get_location().z
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.0, True))
    world.tick()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.0, False))
    heights = []
    for _ in range(40):
        world.tick()
        heights.append(walker.get_location().z - ground_m)
    assert 0.7 < max(heights) < 1.1
    assert heights[-1] == pytest.approx(0.0, abs=0.05)


def test_a_walker_that_is_told_where_to_go_steps_onto_the_sidewalk(world, walker):
    carla_map = world.get_map()
    here = walker.get_location()
    sidewalk = carla_map.get_waypoint(here, True, carla.LaneType.Sidewalk).transform.location
    way = sidewalk - here
    road_m = carla_map.get_waypoint(here).transform.location.z
    assert here.z - 0.93 == pytest.approx(road_m, abs=0.01)
    ticks = round(math.hypot(way.x, way.y) / 2.0 / 0.05)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(way.x, way.y, 0.0), 2.0, False))
    for _ in range(ticks):
        world.tick()
    assert walker.get_location().z - 0.93 == pytest.approx(sidewalk.z + 0.15, abs=0.02)

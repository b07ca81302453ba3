"""A town's scene: nothing missing under the wheels, nothing in the way, the same every time."""

import functools
import math
from pathlib import Path

import carla
import numpy as np
import pytest
import shapely

from bicameral.errors import DataError
from sim.opendrive import read_roads
from sim.pocket.scene.build import MARGIN_M, build_scene
from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.junctions import find_gaps
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import MeshBuilder
from sim.pocket.scene.placing import Site
from sim.pocket.scene.sampling import sample_sections
from sim.pocket.scene.terrain import shape_terrain
from sim.pocket.scene.traffic_signals import add_traffic_signals, find_approaches

ROOT = Path(__file__).parents[2]
TOWNS = {
    "Harbour": ROOT / "sim/pocket/maps/Harbour.xodr",
    "Town04": ROOT.parent / "shared/towns/Town04.xodr",
}
#: Roads of a junction may lie this much apart in a real map.
MAP_STEP_M = 0.25


def load(name):
    path = TOWNS[name]
    if not path.exists():
        pytest.skip(f"the map {path.name} is not on this machine")
    text = path.read_text(encoding="utf-8")
    return text, carla.Map(name, text)


@functools.cache
def built(name):
    text, carla_map = load(name)
    return carla_map, build_scene(text, carla_map, 0)


@pytest.fixture(scope="module", params=list(TOWNS))
def town(request):
    return built(request.param)


def heights_at(scene, x, y):
    """Return (heights, tags) of all triangles above or below a place."""
    tiles = scene.tiles
    near = (tiles[:, 0] <= x) & (tiles[:, 3] >= x) & (tiles[:, 1] <= y) & (tiles[:, 4] >= y)
    ranges = [np.arange(int(first), int(first + count)) for first, count in tiles[near][:, 6:8]]
    index = np.concatenate([np.empty(0, np.int64), *ranges])
    a, b, c = np.moveaxis(scene.static.positions[scene.static.triangles[index]].astype(float), 1, 0)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    area[np.abs(area) < 1e-9] = np.nan
    u = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / area
    v = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
    z = a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2])
    return z[inside], scene.static.tags[index][inside]


def lane_places(carla_map, spacing_m):
    """Yield places across every driving lane."""
    for waypoint in carla_map.generate_waypoints(spacing_m):
        location, right = waypoint.transform.location, waypoint.transform.get_right_vector()
        for share in (-0.35, 0.0, 0.35):
            offset = share * waypoint.lane_width
            yield location.x + offset * right.x, location.y + offset * right.y, location.z


def test_every_lane_has_a_road_under_it_and_free_air_above_it(town):
    carla_map, scene = town
    holes, blocked, total = [], [], 0
    for x, y, z in lane_places(carla_map, 24.0):
        total += 1
        heights, tags = heights_at(scene, x, y)
        paved = np.isin(tags, (CityObjectLabel.ROADS, CityObjectLabel.ROAD_LINES))
        if not (paved & (np.abs(heights - z) < MAP_STEP_M)).any():
            holes.append((round(x), round(y)))
        if ((heights > z + 0.06) & (heights < z + 4.5) & ~paved).any():
            blocked.append((round(x), round(y)))
    assert total > 300
    assert not holes
    assert not blocked


def test_no_obstacle_reaches_into_a_driving_lane(town):
    carla_map, scene = town
    shapes = []
    for obstacle in scene.obstacles:
        yaw = math.radians(obstacle.yaw_deg)
        box = shapely.box(*(-np.array(obstacle.half_extent[:2])), *obstacle.half_extent[:2])
        turned = shapely.affinity.rotate(box, yaw, origin=(0, 0), use_radians=True)
        shapes.append(shapely.affinity.translate(turned, *obstacle.location[:2]))
    tree = shapely.STRtree(shapes)
    for waypoint in carla_map.generate_waypoints(6.0):
        location = waypoint.transform.location
        disc = shapely.Point(location.x, location.y).buffer(waypoint.lane_width / 2.0)
        for index in tree.query(disc, predicate="intersects"):
            below = scene.obstacles[index].location.z + scene.obstacles[index].half_extent.z
            assert below < location.z - 3.0, f"{scene.obstacles[index]} stands on a lane"


def test_tiles_hold_every_triangle_once_and_bound_it(town):
    _, scene = town
    first, count = scene.tiles[:, 6].astype(int), scene.tiles[:, 7].astype(int)
    assert first[0] == 0
    np.testing.assert_array_equal(first[1:], (first + count)[:-1])
    assert first[-1] + count[-1] == len(scene.static.triangles)
    for tile in scene.tiles[::7]:
        inside = scene.static.triangles[int(tile[6]) : int(tile[6] + tile[7])]
        corners = scene.static.positions[inside].reshape(-1, 3)
        assert (corners >= tile[:3] - 1e-3).all()
        assert (corners <= tile[3:6] + 1e-3).all()


def test_normals_are_unit_vectors_and_all_numbers_finite(town):
    _, scene = town
    np.testing.assert_allclose(np.linalg.norm(scene.static.normals, axis=1), 1.0, atol=1e-3)
    assert np.isfinite(scene.static.positions).all()
    assert np.isfinite(scene.static.uvs).all()


def test_every_traffic_light_that_stops_a_lane_has_a_head_facing_its_traffic(town):
    carla_map, scene = town
    lights = {light.id for light in carla_map.get_all_landmarks_of_type("1000001")}
    heads = {head.opendrive_id for head in scene.signal_heads}
    assert heads <= lights
    assert len(heads) >= 0.9 * len(lights)
    for head in scene.signal_heads:
        assert head.transform.location.z > 1.5


def test_a_light_without_free_ground_around_it_stands_where_the_map_has_it():
    text, carla_map = load("Harbour")
    sections = sample_sections(carla_map, read_roads(text))
    plan = GroundPlan(sections, find_gaps(sections), MARGIN_M)
    plan.taken[:] = 1
    terrain = shape_terrain(plan, np.random.default_rng(0))
    site = Site(builder=MeshBuilder(), plan=plan, terrain=terrain, obstacles=[])
    approaches = find_approaches(carla_map)
    heads = add_traffic_signals(site, approaches)
    assert len(heads) == 2 * len(approaches) > 0
    for approach, mast in zip(approaches, site.obstacles, strict=True):
        np.testing.assert_allclose(mast.location[:2], approach.location[:2], atol=1e-6)


def test_the_town_stays_within_the_triangle_budget(town):
    _, scene = town
    assert len(scene.static.triangles) <= 130_000


def test_the_same_seed_builds_the_same_bytes_and_another_seed_another_town():
    text, carla_map = load("Harbour")
    _, one = built("Harbour")
    two, other = (build_scene(text, carla_map, seed) for seed in (0, 6))
    for name in ("positions", "normals", "uvs", "colours", "triangles", "textures", "tags"):
        assert getattr(one.static, name).tobytes() == getattr(two.static, name).tobytes()
    assert one.tiles.tobytes() == two.tiles.tobytes()
    assert one.obstacles == two.obstacles
    assert one.signal_heads == two.signal_heads
    assert one.static.positions.tobytes() != other.static.positions.tobytes()


def test_text_that_is_no_opendrive_is_refused():
    with pytest.raises(DataError, match="cannot read the OpenDRIVE text"):
        read_roads("not a map")


STRAIGHT = """<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1" date="" north="0" south="0"
 east="0" west="0"><geoReference><![CDATA[+lat_0=49 +lon_0=8]]></geoReference></header>
<road name="r" length="100" id="0" junction="-1"><link/>
<planView><geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>
<lateralProfile/><lanes><laneSection s="0">
<left><lane id="1" type="driving" level="false"><link/>
<width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid" color="standard" width="0.2" laneChange="none"/></lane></left>
<center><lane id="0" type="none" level="false"><link/>
<roadMark sOffset="0" type="broken" color="yellow" width="0.12" laneChange="both">
<type name="b" width="0.12"><line length="4" space="6" tOffset="0" sOffset="0"/></type></roadMark>
<roadMark sOffset="50" type="solid solid" color="white" width="0.12" laneChange="none"/>
</lane></center>
<right><lane id="-1" type="driving" level="false"><link/>
<width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="none" color="standard" width="0.2" laneChange="none"/></lane>
<lane id="-2" type="sidewalk" level="false"><link/><width sOffset="0" a="2" b="0" c="0" d="0"/>
</lane></right></laneSection></lanes></road></OpenDRIVE>"""


@pytest.fixture(scope="module")
def straight():
    return build_scene(STRAIGHT, carla.Map("straight", STRAIGHT), 0)


def painted(scene):
    """Return (triangles (N, 3, 3), colours (N, 3)) of all road lines."""
    lines = scene.static.tags == CityObjectLabel.ROAD_LINES
    corners = scene.static.triangles[lines]
    return scene.static.positions[corners], scene.static.colours[corners[:, 0]]


def test_a_broken_line_has_the_dashes_and_gaps_of_the_map(straight):
    corners, colours = painted(straight)
    yellow = corners[colours[:, 2] < 0.5]
    starts = np.unique(np.round(yellow[..., 0].min(axis=1), 1))
    np.testing.assert_allclose(starts, [0, 10, 20, 30, 40], atol=0.05)
    lengths = np.ptp(yellow[..., 0], axis=1)
    np.testing.assert_allclose(lengths, 4.0, atol=0.05)
    np.testing.assert_allclose(np.ptp(yellow[..., 1].ravel()), 0.12, atol=1e-3)


def test_a_road_mark_changes_where_the_map_says_so(straight):
    corners, colours = painted(straight)
    white = corners[colours[:, 2] > 0.5]
    double = white[np.abs(white[..., 1]).max(axis=1) < 1.0]
    assert double[..., 0].min() == pytest.approx(50.0, abs=0.05)
    sides = np.sign(double[..., 1].mean(axis=1))
    assert set(sides) == {-1.0, 1.0}


def test_a_side_without_a_mark_stays_unpainted(straight):
    corners, _ = painted(straight)
    assert corners[..., 1].max() < 1.0, "the right edge has no mark"
    assert corners[..., 1].min() == pytest.approx(-3.5, abs=0.3)


def test_a_sidewalk_is_raised_to_the_right_of_the_lane(straight):
    tags = straight.static.tags == CityObjectLabel.SIDEWALKS
    corners = straight.static.positions[straight.static.triangles[tags]].reshape(-1, 3)
    assert corners[:, 2].max() == pytest.approx(0.15, abs=1e-4)
    assert corners[:, 1].min() == pytest.approx(3.5, abs=0.02)
    assert corners[:, 1].max() == pytest.approx(5.5, abs=0.02)

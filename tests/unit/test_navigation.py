"""The navigation mesh: read back from its file, as the client reads it."""

from __future__ import annotations

import struct
from pathlib import Path

import carla
import numpy as np
import pytest
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bicameral.errors import DataError
from sim.opendrive import read_roads
from sim.pocket.map_store import MapStore
from sim.pocket.navigation import detour
from sim.pocket.navigation.__main__ import navigation_mesh
from sim.pocket.navigation.detour import pack
from sim.pocket.navigation.mesh import Area, NavigationMesh, build_mesh, neighbours
from sim.pocket.navigation.walkable import WalkableAreas, find_walkable_areas
from sim.pocket.scene.junctions import crosswalk_outlines
from sim.pocket.scene.sampling import SampledSection, sample_sections
from tests.awaited_meshes import read_mesh

REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"
#: Town, crosswalks of the map, and how many of them have a sidewalk at both ends.
TOWNS = {
    "Harbour": (28, 28),
    "Ridgeway": (30, 30),
    "Train01": (18, 18),
    "Town01": (0, 0),
    "Town04": (27, 24),
    "Town10HD": (16, 16),
}
FEET_M = 0.15


class Town:
    def __init__(self, name: str) -> None:
        folders = [REAL_TOWNS] if REAL_TOWNS.is_dir() else []
        if name not in MapStore(folders).names():
            pytest.skip(f"{name} of CARLA is not at {REAL_TOWNS}")
        town = MapStore(folders).load(name)
        self.name = name
        self.map: carla.Map = town.carla_map
        self.sections: list[SampledSection] = sample_sections(self.map, read_roads(town.opendrive))
        areas = find_walkable_areas(self.sections, self.map)
        assert areas is not None
        self.areas: WalkableAreas = areas
        self.file = pack(build_mesh(areas, self.sections))
        self.mesh: NavigationMesh = read_mesh(self.file)


@pytest.fixture(scope="module", params=TOWNS)
def town(request: pytest.FixtureRequest) -> Town:
    return Town(request.param)


def corners(mesh: NavigationMesh) -> np.ndarray:
    return mesh.vertices[mesh.triangles]


def areas_m2(mesh: NavigationMesh) -> np.ndarray:
    a, b, c = np.moveaxis(corners(mesh)[..., :2], 1, 0)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2.0


def test_every_sidewalk_is_reached_from_every_other_without_the_road(town: Town) -> None:
    beyond = neighbours(town.mesh.triangles)
    walked = town.mesh.areas != Area.ROAD
    here, edge = np.nonzero(beyond >= 0)
    there = beyond[here, edge]
    both = walked[here] & walked[there]
    size = len(walked)
    links = coo_array((np.ones(both.sum()), (here[both], there[both])), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    assert len(set(labels[walked])) == 1


def test_neighbours_name_each_other(town: Town) -> None:
    beyond = neighbours(town.mesh.triangles)
    here, edge = np.nonzero(beyond >= 0)
    assert all(h in beyond[t] for h, t in zip(here, beyond[here, edge], strict=True))


def test_all_triangles_are_wound_as_the_client_wants_them(town: Town) -> None:
    assert (areas_m2(town.mesh) < 0.0).all()


def test_the_mesh_covers_the_areas_and_nothing_else(town: Town) -> None:
    covered = -areas_m2(town.mesh)
    expected = {
        Area.SIDEWALK: town.areas.sidewalks,
        Area.CROSSWALK: town.areas.crosswalks,
        Area.ROAD: town.areas.roads,
    }
    for area, shape in expected.items():
        assert covered[town.mesh.areas == area].sum() == pytest.approx(shape.area, rel=2e-3)
    middles = corners(town.mesh).mean(axis=1)
    on_sidewalk = town.mesh.areas == Area.SIDEWALK
    assert shapely.contains_xy(town.areas.raised, *middles[on_sidewalk, :2].T).all()


def test_walkers_keep_their_radius_from_the_edge_of_a_sidewalk(town: Town) -> None:
    points = corners(town.mesh)[town.mesh.areas == Area.SIDEWALK].reshape(-1, 3)
    edge = town.areas.raised.boundary
    assert edge.distance(shapely.MultiPoint(points[:, :2])) > 0.2


def test_the_crosswalks_of_the_map_lead_from_sidewalk_to_sidewalk(town: Town) -> None:
    outlines = [shapely.Polygon(ring[:, :2]) for ring in crosswalk_outlines(town.map)]
    inside = shapely.contains(town.areas.crosswalks, shapely.centroid(outlines))
    assert (len(outlines), inside.sum()) == TOWNS[town.name]


def test_feet_stand_on_the_sidewalk_and_on_the_road(town: Town) -> None:
    mesh = town.mesh
    for area, height_m in ((Area.SIDEWALK, FEET_M), (Area.ROAD, 0.0)):
        middles = corners(mesh)[mesh.areas == area].mean(axis=1)[::7]
        raised = shapely.contains_xy(town.areas.raised, *middles[:, :2].T)
        for x, y, z in middles[raised == (area == Area.SIDEWALK)]:
            place = carla.Location(float(x), float(y), float(z))
            lane = town.map.get_waypoint(place, True, carla.LaneType.Any).transform.location
            if lane.distance_2d(place) < 3.0:
                assert z - lane.z == pytest.approx(height_m, abs=0.12)


def test_the_file_is_laid_out_as_detour_reads_it(town: Town) -> None:
    count, corner_count = len(town.mesh.triangles), len(town.mesh.vertices)
    data = town.file
    magic, version, tiles = struct.unpack_from("<3i", data)
    most_tiles, most_polygons, reference, size = struct.unpack_from("<2iIi", data, 32)
    assert (magic, version, tiles, most_tiles) == (0x4D534554, 1, 1, 1)
    assert most_polygons == reference == 1 << (count - 1).bit_length()
    assert len(data) == 48 + size
    at = 48 + 100
    sizes = (12 * corner_count, 32 * count, 36 * count, 12 * count, 4 * count, 16 * (2 * count - 1))
    assert size == 100 + sum(sizes)
    polygons = data[at + sizes[0] :]
    flags = {struct.unpack_from("<HBB", polygons, 32 * i + 28) for i in range(count)}
    assert flags == {(2, 3, 1), (4, 3, 2), (8, 3, 3)}


def test_the_tree_of_the_file_finds_every_triangle(town: Town) -> None:
    mesh, count = town.mesh, len(town.mesh.triangles)
    low = np.array(struct.unpack_from("<3f", town.file, 48 + 72))
    (steps,) = struct.unpack_from("<f", town.file, 48 + 96)
    node = np.dtype([("low", "<u2", 3), ("high", "<u2", 3), ("content", "<i4")])
    tree = np.frombuffer(town.file, node, 2 * count - 1, len(town.file) - 16 * (2 * count - 1))
    points = (corners(mesh)[..., [0, 2, 1]] - low) * steps
    for place in points[:: max(1, count // 50)].mean(axis=1):
        at, found = 0, []
        while at < len(tree):
            inside = (tree["low"][at] <= place).all() and (place <= tree["high"][at]).all()
            content = tree["content"][at]
            if inside and content >= 0:
                found.append(content)
            at += 1 if inside or content >= 0 else -content
        inside = [points[i].min(axis=0) - 1 <= place for i in found]
        assert found
        assert np.all(inside)


def test_a_map_too_large_for_a_file_is_meshed_without_its_roads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detour, "MOST_CORNERS", 4000)
    mesh = navigation_mesh(MapStore().load("Harbour").opendrive)
    assert mesh is not None
    assert set(mesh.areas) == {Area.SIDEWALK, Area.CROSSWALK}
    assert read_mesh(pack(mesh)).areas.tolist() == mesh.areas.tolist()
    monkeypatch.setattr(detour, "MOST_CORNERS", 100)
    with pytest.raises(DataError, match="a file holds fewer than 100"):
        pack(mesh)


def test_a_map_without_sidewalks_has_no_mesh() -> None:
    opendrive = (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4"/>'
        '<road id="1" junction="-1" length="200"><planView>'
        '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView>'
        '<lanes><laneSection s="0"><center><lane id="0" type="none"/></center><right>'
        '<lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
        "</right></laneSection></lanes></road></OpenDRIVE>"
    )
    carla_map = carla.Map("road", opendrive)
    sections = sample_sections(carla_map, read_roads(opendrive))
    assert find_walkable_areas(sections, carla_map) is None

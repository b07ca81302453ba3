"""The file of a navigation mesh that CARLA's client reads: one tile of Recast and Detour.

The layout is that of `dtNavMesh` (Detour's navigation mesh, version 7, little endian, references of
32 bits) behind the header that Recast's samples write. Detour's y points up, so a vertex is
(x, z, y) of CARLA's frame.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from sim.pocket.navigation.mesh import NavigationMesh, neighbours

_FILE_MAGIC = 0x4D534554  # "MSET"
_FILE_VERSION = 1
_TILE_MAGIC = 0x444E4156  # "DNAV"
_TILE_VERSION = 7
_NO_LINK = 0xFFFFFFFF
MOST_CORNERS = 65_535
"""A file holds fewer corners than this, and fewer triangles."""
_MARGIN_M = 1.0
#: Bounds of the tree are whole numbers of 16 bits; this leaves some for rounding up.
_TREE_STEPS = 65_000
#: Of the client's agents, metres.
_WALKER_HEIGHT_M, _WALKER_RADIUS_M, _WALKER_CLIMB_M = 1.8, 0.3, 0.4

#: magic, version, tiles, origin (3), width and depth of a tile, most tiles, most polygons a tile;
#: then reference and size of the only tile.
_file_header = struct.Struct("<3i3f2f2i" + "Ii")
#: magic, version, x, y, layer; user id; counts of polygons, vertices, links, detail meshes, detail
#: vertices, detail triangles, tree nodes, off-mesh connections; first of those; height, radius and
#: climb of an agent; lower and upper bounds; steps of the tree a metre.
_tile_header = struct.Struct("<5iI9i3f3f3ff")
_polygon = np.dtype(
    [
        ("first_link", "<u4"),
        ("corners", "<u2", 6),
        ("neighbours", "<u2", 6),
        ("flags", "<u2"),
        ("corner_count", "u1"),
        ("area", "u1"),
    ]
)
_detail_mesh = np.dtype(
    [
        ("first_vertex", "<u4"),
        ("first_triangle", "<u4"),
        ("vertices", "u1"),
        ("triangles", "u1"),
        ("padding", "<u2"),
    ]
)
_tree_node = np.dtype([("low", "<u2", 3), ("high", "<u2", 3), ("content", "<i4")])
_LINK_BYTES = 12
#: A detail triangle of the polygon's own corners; all three edges lie on its outline.
_DETAIL_TRIANGLE = np.array([0, 1, 2, 1 | 4 | 16], np.uint8)


def pack(mesh: NavigationMesh) -> bytes:
    """Return the file of a mesh.

    Raises:
        DataError: It has more corners than a tile may have.
    """
    count, corner_count = len(mesh.triangles), len(mesh.vertices)
    if max(count, corner_count) >= MOST_CORNERS:
        raise DataError(
            f"the navigation mesh has {corner_count} corners and {count} triangles; a file holds "
            f"fewer than {MOST_CORNERS} of either"
        )
    points = np.ascontiguousarray(mesh.vertices[:, [0, 2, 1]], "<f4")
    low, high = points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M
    steps_a_metre = _TREE_STEPS / float((high - low).max())
    tree = _tree(points[mesh.triangles], low, steps_a_metre)
    details = np.zeros(count, _detail_mesh)
    details["first_triangle"] = np.arange(count)
    details["triangles"] = 1
    header = _tile_header.pack(
        *(_TILE_MAGIC, _TILE_VERSION, 0, 0, 0, 0),
        *(count, corner_count, 3 * count, count, 0, count, len(tree), 0, count),
        *(_WALKER_HEIGHT_M, _WALKER_RADIUS_M, _WALKER_CLIMB_M),
        *map(float, (*low, *high)),
        steps_a_metre,
    )
    tile = b"".join(
        (
            header,
            points.tobytes(),
            _polygons(mesh).tobytes(),
            bytes(_LINK_BYTES * 3 * count),
            details.tobytes(),
            np.tile(_DETAIL_TRIANGLE, count).tobytes(),
            tree.tobytes(),
        )
    )
    polygon_bits = max(1, (count - 1).bit_length())
    width, _, depth = map(float, high - low)
    most_polygons = 1 << polygon_bits
    start = _file_header.pack(
        *(_FILE_MAGIC, _FILE_VERSION, 1),
        *map(float, low),
        *(width, depth, 1, most_polygons),
        *(most_polygons, len(tile)),
    )
    return start + tile


def _polygons(mesh: NavigationMesh) -> NDArray[np.void]:
    polygons = np.zeros(len(mesh.triangles), _polygon)
    polygons["first_link"] = _NO_LINK
    polygons["corners"][:, :3] = mesh.triangles
    polygons["neighbours"][:, :3] = neighbours(mesh.triangles) + 1
    # the client asks for kinds of ground by one bit each
    polygons["flags"] = 1 << mesh.areas.astype(np.uint16)
    polygons["corner_count"] = 3
    polygons["area"] = mesh.areas
    return polygons


def _tree(
    corners: NDArray[np.float32], low: NDArray[np.float32], steps_a_metre: float
) -> NDArray[np.void]:
    """Return the boxes in which triangles are looked for, a box before what is in it."""
    scaled = (corners.astype(np.float64) - low) * steps_a_metre
    lows, highs = np.floor(scaled.min(axis=1)), np.ceil(scaled.max(axis=1))
    nodes = np.zeros(2 * len(corners) - 1, _tree_node)
    stack = [(np.arange(len(corners)), 0)]
    while stack:
        items, at = stack.pop()
        first, last = lows[items].min(axis=0), highs[items].max(axis=0)
        nodes["low"][at], nodes["high"][at] = first, last
        if len(items) == 1:
            nodes["content"][at] = items[0]
            continue
        axis = int(np.argmax(last - first))
        order = items[np.argsort(lows[items, axis] + highs[items, axis], kind="stable")]
        half = len(order) // 2
        # a box that is not met is left by as many nodes as there are in it
        nodes["content"][at] = -(2 * len(items) - 1)
        stack += [(order[:half], at + 1), (order[half:], at + 2 * half)]
    return nodes

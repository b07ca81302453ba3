"""The mesh builder, and the textures it names."""

import numpy as np
import pytest

from bicameral.errors import UserError
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material, MeshBuilder, reorder_triangles
from sim.pocket.scene.textures import (
    SIGN_CELLS,
    SIGN_FACES,
    TEXTURE_NAMES,
    light_windows,
    make_textures,
    texture_index,
)

ROAD = Material("asphalt", CityObjectLabel.ROADS, (0.5, 0.6, 0.7), 0.25)
SQUARE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]


def one_quad(material=ROAD):
    builder = MeshBuilder()
    builder.add_quads(material, [SQUARE], (0, 0, 1), [(0, 0), (1, 0), (1, 1), (0, 1)])
    return builder.build()


def test_a_quad_becomes_two_triangles_with_the_look_of_its_material():
    mesh = one_quad()
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.tags.tolist() == [CityObjectLabel.ROADS] * 2
    assert mesh.textures.tolist() == [texture_index("asphalt")] * 2
    assert mesh.emissive.tolist() == [0.25, 0.25]
    np.testing.assert_allclose(mesh.colours, [(0.5, 0.6, 0.7)] * 4, rtol=1e-6)


def test_mesh_arrays_have_the_types_that_a_renderer_is_promised():
    mesh = one_quad()
    for array in (mesh.positions, mesh.normals, mesh.uvs, mesh.colours, mesh.emissive):
        assert array.dtype == np.float32
    assert mesh.triangles.dtype == np.int32
    assert mesh.textures.dtype == mesh.tags.dtype == np.uint8


def test_an_empty_builder_gives_an_empty_mesh():
    mesh = MeshBuilder().build()
    assert mesh.positions.shape == (0, 3)
    assert mesh.triangles.shape == (0, 3)


def test_reordering_moves_all_that_belongs_to_a_triangle():
    builder = MeshBuilder()
    for material in (
        Material("asphalt", CityObjectLabel.ROADS),
        Material("grass", CityObjectLabel.TERRAIN),
    ):
        builder.add_quads(material, [np.zeros((4, 3))], (0.0, 0.0, 1.0), np.zeros((4, 2)))
    joined = builder.build()
    turned = reorder_triangles(joined, np.array([3, 2, 1, 0]))
    assert turned.tags.tolist() == [10, 10, 1, 1]
    np.testing.assert_array_equal(turned.triangles[0], joined.triangles[3])


def test_an_unknown_texture_is_named_with_its_nearest_neighbour():
    with pytest.raises(UserError, match="Did you mean 'asphalt'"):
        texture_index("asfalt")


def test_textures_are_one_rgba_square_per_name_and_repeat_with_the_seed():
    layers = make_textures(3)
    assert layers.shape == (len(TEXTURE_NAMES), 256, 256, 4)
    assert layers.dtype == np.uint8
    np.testing.assert_array_equal(layers, make_textures(3))
    assert not np.array_equal(layers, make_textures(4))


def test_by_night_some_windows_are_lit_and_walls_look_as_before():
    day = make_textures(0)
    night, gains = light_windows(day)
    np.testing.assert_array_equal(light_windows(day)[0], night)
    for name in ("facade_brick", "facade_office", "facade_house"):
        layer = texture_index(name)
        seen = night[layer, ..., :3].mean(axis=2) * gains[layer]
        before = day[layer, ..., :3].mean(axis=2)
        assert 0.02 < (seen > before + 50.0).mean() < 0.4
        between_floors = np.s_[:8]
        assert np.abs(seen - before)[between_floors].max() < gains[layer]
    road = texture_index("asphalt")
    assert gains[road] == 1.0
    np.testing.assert_array_equal(night[road], day[road])


def test_only_foliage_has_holes():
    layers = make_textures(0)
    holed = {
        name
        for name, layer in zip(TEXTURE_NAMES, layers, strict=True)
        if (layer[..., 3] < 255).any()
    }
    assert holed == {"leaves", "conifer"}


def test_every_sign_face_has_a_cell_of_its_own():
    assert len(SIGN_FACES) == len(set(SIGN_FACES)) == SIGN_CELLS**2

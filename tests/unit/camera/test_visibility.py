"""Where things appear, how far they are and what hides what."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bicameral.errors import UserError
from sim.pocket.camera.view import CameraView, Channels, Instance
from sim.pocket.geometry import Rotation, Transform, Vector3, rotation_matrix
from sim.pocket.scene.mesh import reorder_triangles

pytestmark = pytest.mark.unit

ROAD, WALL, SKY = 1, 3, 11


def centre_of(semantic, tag):
    rows, columns = np.nonzero(semantic == tag)
    return columns.mean() + 0.5, rows.mean() + 0.5


def test_a_point_projects_to_half_the_image_plus_focal_length_times_y_over_x(make):
    view = make.view(width=640, height=480, fov_deg=100.0)
    frame = make.rasteriser(make.facing(12.0, 3.0, -2.0, 0.4)).render(view, [])
    focal = 320.0 / np.tan(np.radians(50.0))
    assert view.focal_px == pytest.approx(focal)
    assert centre_of(frame.semantic, WALL) == pytest.approx(
        (320.0 + focal * 3.0 / 12.0, 240.0 + focal * 2.0 / 12.0), abs=0.51
    )


def test_an_object_at_positive_y_appears_on_the_right_because_the_frame_is_left_handed(make):
    frame = make.rasteriser(make.facing(10.0, 4.0, 0.0, 0.5)).render(make.view(), [])
    assert (frame.semantic[:, 80:] == WALL).any()
    assert not (frame.semantic[:, :80] == WALL).any()


@pytest.mark.parametrize("rotation", [(0, 30, 0), (20, 0, 0), (0, 0, 25), (-15, 160, 10)])
def test_a_turned_camera_sees_what_lies_along_its_axis_in_the_middle(make, rotation):
    forward = rotation_matrix(Rotation(*rotation))[:, 0]
    eye = np.array([5.0, -7.0, 2.0])
    x, y, z = eye + 20.0 * forward
    half = 0.7
    meshes = [
        make.quad([(x, y - half, z - half), (x, y + half, z - half), (x, y + half, z + half)] * 1
                  + [(x, y - half, z + half)]),
        make.quad([(x - half, y, z - half), (x + half, y, z - half), (x + half, y, z + half)] * 1
                  + [(x - half, y, z + half)]),
    ]  # fmt: skip
    view = make.view(tuple(eye), rotation)
    frame = make.rasteriser(*meshes).render(view, [])
    assert centre_of(frame.semantic, WALL) == pytest.approx((80.0, 60.0), abs=1.5)


def test_positive_roll_lowers_the_right_side_so_the_horizon_rises_there(make):
    frame = make.rasteriser(make.ground()).render(make.view((0.0, 0.0, 2.0), (0.0, 0.0, 20.0)), [])
    sky_rows = (frame.semantic == SKY).sum(axis=0)
    assert sky_rows[-1] < sky_rows[0]


@pytest.mark.parametrize("rotation", [(-15, 0, 0), (-40, 70, 0), (-5, -120, 15), (10, 0, -30)])
def test_the_depth_of_a_plane_is_the_analytic_one(make, rotation):
    view = make.view((3.0, -4.0, 2.4), rotation)
    frame = make.rasteriser(make.ground()).render(view, [])
    down = make.rays(view)[..., 2]
    with np.errstate(divide="ignore"):
        expected = np.where(down < 0.0, -2.4 / down, np.inf)
    on_ground = expected < 300.0
    np.testing.assert_allclose(frame.depth_m[on_ground], expected[on_ground], rtol=2e-6)
    assert (frame.semantic[on_ground] == ROAD).all()


def test_where_nothing_is_the_frame_says_sky_at_a_thousand_metres(make):
    frame = make.rasteriser(make.facing(-10.0, 0.0, 0.0, 1.0)).render(make.view(), [])
    assert (frame.semantic == SKY).all()
    assert (frame.depth_m == 1000.0).all()


def test_the_nearer_surface_hides_the_farther_one_in_every_drawing_order(make):
    near = make.facing(5.0, 0.0, 0.0, 1.0, tag=make.labels.POLES)
    far = make.facing(9.0, 0.0, 0.0, 4.0)
    ground = make.ground(z=-2.0)
    frames = [
        make.rasteriser(*order).render(make.view(), []).semantic
        for order in itertools.permutations((near, far, ground))
    ]
    assert frames[0][60, 80] == make.labels.POLES
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame, frames[0])


def test_interpenetrating_surfaces_split_where_they_cross(make):
    left_near = make.quad([(5, -9, -3), (15, 9, -3), (15, 9, 3), (5, -9, 3)])
    right_near = make.quad(
        [(15, -9, -3), (5, 9, -3), (5, 9, 3), (15, -9, 3)], tag=make.labels.POLES
    )
    row = make.rasteriser(left_near, right_near).render(make.view(), []).semantic[60]
    assert (row[50:80] == WALL).all()
    assert (row[80:110] == make.labels.POLES).all()


def test_a_triangle_that_crosses_the_camera_plane_is_clipped_not_dropped(make):
    ground = make.ground(half=50.0)
    view = make.view((0.0, 0.0, 1.0), (-30.0, 45.0, 0.0))
    frame = make.rasteriser(ground).render(view, [])
    assert (frame.semantic[80:] == ROAD).all()


def test_a_finely_divided_plane_has_no_cracks(make):
    lines = np.linspace(-40.0, 40.0, 41) + np.random.default_rng(0).uniform(-0.4, 0.4, 41)
    quads = [
        make.quad([(a, c, 0.0), (b, c, 0.0), (b, d, 0.0), (a, d, 0.0)], tag=make.labels.ROADS)
        for a, b in itertools.pairwise(lines)
        for c, d in itertools.pairwise(lines)
    ]
    view = make.view((0.3, 0.2, 1.5), (-50.0, 33.0, 7.0), width=320, height=240)
    frame = make.rasteriser(*quads).render(view, [])
    reach = 1.5 / np.maximum(-make.rays(view)[..., 2], 1e-9)
    assert (frame.semantic[reach < 20.0] == ROAD).all()


def test_holes_of_a_cut_out_texture_show_what_is_behind(make):
    leaves = make.facing(6.0, 0.0, 0.0, 2.0, tag=make.labels.VEGETATION, texture="leaves")
    wall = make.facing(9.0, 0.0, 0.0, 5.0)
    row = make.rasteriser(leaves, wall).render(make.view(), []).semantic[60]
    assert (row[60:78] == WALL).all()
    assert (row[83:100] == make.labels.VEGETATION).all()


def test_a_far_road_line_thinner_than_a_pixel_is_drawn_unbroken(make):
    line = make.quad(
        [(2, 0.94, 0.02), (80, 0.94, 0.02), (80, 1.06, 0.02), (2, 1.06, 0.02)],
        tag=make.labels.ROAD_LINES,
    )
    view = make.view((0.0, 0.0, 2.4), (-15.0, 0.0, 0.0), width=320, height=160, fov_deg=110.0)
    frame = make.rasteriser(make.ground(), line).render(view, [])
    rows = slice(int(frame.semantic.argmin(axis=0).max()), None)
    far = frame.depth_m[rows].min(axis=1) < 22.0
    drawn = (frame.semantic[rows] == make.labels.ROAD_LINES).sum(axis=1)
    seen_from = np.flatnonzero(drawn)[0]
    assert (drawn[seen_from:][far[seen_from:]][:40] >= 1).all()
    assert 2.4 / np.tan(np.radians(15.0)) < frame.depth_m[rows][seen_from].min()


def test_a_tile_outside_the_view_or_beyond_the_far_distance_is_not_drawn(make):
    beyond = make.facing(700.0, 0.0, 0.0, 300.0)
    frame = make.rasteriser(beyond).render(make.view(), [])
    assert (frame.semantic == SKY).all()


def test_an_instance_stands_where_its_transform_says(make):
    rasteriser = make.rasteriser(make.ground(z=-50.0))
    rasteriser.register_mesh("board", make.facing(0.0, 0.0, 0.0, 0.5))
    pose = Transform(Vector3(8.0, -2.0, 1.0), Rotation(0.0, 20.0, 0.0))
    frame = rasteriser.render(make.view(), [Instance(mesh_key="board", transform=pose)])
    assert centre_of(frame.semantic, WALL) == pytest.approx((60.0, 50.0), abs=0.6)
    middle = frame.depth_m[50, 60]
    assert middle == pytest.approx(8.0, abs=0.05)


def test_an_unregistered_mesh_is_an_error_that_names_the_known_ones(make):
    rasteriser = make.rasteriser(make.ground())
    rasteriser.register_mesh("board", make.facing(0.0, 0.0, 0.0, 0.5))
    with pytest.raises(UserError, match="board"):
        rasteriser.render(make.view(), [Instance(mesh_key="bord", transform=Transform())])


def test_channels_that_were_not_asked_for_are_empty(make):
    rasteriser = make.rasteriser(make.ground())
    view = make.view((0.0, 0.0, 2.0))
    everything = rasteriser.render(view, [])
    semantic, depth_m = everything.semantic.copy(), everything.depth_m.copy()
    only_depth = rasteriser.render(view, [], want=Channels.DEPTH)
    assert only_depth.bgra.shape[0] == only_depth.semantic.shape[0] == 0
    np.testing.assert_array_equal(only_depth.depth_m, depth_m)
    only_semantic = rasteriser.render(view, [], want=Channels.SEMANTIC)
    np.testing.assert_array_equal(only_semantic.semantic, semantic)


def test_more_triangles_than_the_first_buffer_holds_are_all_drawn(make):
    strips = [
        make.quad([(5, y, -3), (5, y + 0.01, -3), (5, y + 0.01, 3), (5, y, 3)])
        for y in np.arange(-4.0, 4.0, 0.01)
    ]
    whole = make.rasteriser(make.quad([(5, -4, -3), (5, 4, -3), (5, 4, 3), (5, -4, 3)]))
    rasteriser = make.rasteriser(*strips)
    rasteriser._triangles = type(rasteriser._triangles)(
        *(array[:8] for array in rasteriser._triangles)
    )
    view = make.view(width=400, height=300)
    np.testing.assert_array_equal(
        rasteriser.render(view, []).semantic, whole.render(view, []).semantic
    )


def test_the_order_of_triangles_does_not_change_the_depth(make):
    rng = np.random.default_rng(1)
    boards = [make.facing(*rng.uniform((4, -5, -4), (30, 5, 4)), 0.8) for _ in range(60)]
    rasteriser = make.rasteriser(*boards)
    depth_m = rasteriser.render(make.view(), []).depth_m.copy()
    static = rasteriser._scene.static
    shuffled = make.rasteriser(reorder_triangles(static, rng.permutation(len(static.triangles))))
    np.testing.assert_array_equal(shuffled.render(make.view(), []).depth_m, depth_m)


@pytest.mark.parametrize(("width", "fov_deg"), [(0, 90.0), (9000, 90.0), (10, 0.0), (10, 180.0)])
def test_an_impossible_camera_is_refused(width, fov_deg):
    with pytest.raises(UserError, match="cannot be rendered"):
        CameraView(width=width, height=10, fov_deg=fov_deg, transform=Transform())


def test_any_shape_of_image_works(make):
    rasteriser = make.rasteriser(make.ground())
    for width, height in ((1, 1), (7, 301), (333, 2)):
        view = make.view((0.0, 0.0, 2.0), (-5.0, 0.0, 0.0), width=width, height=height)
        assert rasteriser.render(view, []).bgra.shape == (height, width, 4)


def test_a_picture_is_the_same_from_near_to_far_and_from_far_to_near(make):
    """From near to far, most of what is hidden is passed over unseen."""
    colours = np.random.default_rng(0).random((3, 12, 16, 3))
    screens = [
        make.facing(
            10.0 * (layer + 1),
            1.3 * (layer + 1) * (column - 7.5),
            1.3 * (layer + 1) * (row - 5.5),
            0.6 * (layer + 1),
            colour=tuple(colours[layer, row, column]),
        )
        for layer in range(3)
        for row in range(12)
        for column in range(16)
    ]
    view = make.view((0.0, 0.3, 0.2))
    near_first = make.rasteriser(*screens).render(view, [])
    far_first = make.rasteriser(*reversed(screens)).render(view, [])
    assert len(np.unique(near_first.depth_m)) > 3
    assert np.array_equal(near_first.depth_m, far_first.depth_m)
    assert np.array_equal(near_first.bgra, far_first.bgra)

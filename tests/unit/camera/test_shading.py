"""Light, weather, shadows and the bytes of a colour frame."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bicameral.errors import DataError, UserError
from sim.pocket.camera.lighting import CLEAR_NOON, WEATHER_FIELDS, lighting_from_weather
from sim.pocket.camera.shadows import bake_sun_shadows
from sim.pocket.camera.textures import texture_pyramid
from sim.pocket.camera.view import Channels, Instance
from sim.pocket.geometry import Rotation, Transform, Vector3

pytestmark = pytest.mark.unit


def weather(**changes):
    given = dict(zip(WEATHER_FIELDS, CLEAR_NOON, strict=True)) | changes
    return lighting_from_weather(tuple(given.values()))


NIGHT = {"sun_altitude_angle": -90.0}


@pytest.fixture(scope="module")
def street(make):
    rasteriser = make.rasteriser(
        make.ground(colour=(0.35, 0.35, 0.35)),
        make.facing(20.0, 6.0, 3.0, 3.0, colour=(0.7, 0.4, 0.3)),
        make.facing(60.0, -9.0, 5.0, 5.0, colour=(0.3, 0.4, 0.6)),
    )
    rasteriser.register_mesh("box", make.facing(0.0, 0.0, 0.8, 0.8, colour=(1.0, 1.0, 1.0)))
    return rasteriser


@pytest.fixture(scope="module")
def kerbside(make):
    return make.view((0.0, 0.0, 2.0), (-10.0, 0.0, 0.0))


BOX = Instance(
    mesh_key="box", transform=Transform(Vector3(9.0, -2.0, 0.0), Rotation()), paint=(0.9, 0.1, 0.1)
)


def colours(rasteriser, view, instances=(), seed=0):
    frame = rasteriser.render(view, instances, noise_seed=seed, want=Channels.RGB)
    return frame.bgra[..., :3].astype(float)


def test_the_same_inputs_give_the_same_bytes_after_any_other_frames(street, kerbside, make):
    street.set_lighting(weather(**NIGHT))
    first = street.render(kerbside, [BOX], noise_seed=5)
    kept = [array.copy() for array in (first.bgra, first.semantic, first.depth_m)]
    street.set_lighting(weather(fog_density=80.0))
    street.render(make.view((3.0, 1.0, 9.0), (5.0, 80.0, 3.0), width=320), [], noise_seed=9)
    street.render(kerbside, [], noise_seed=6)
    street.set_lighting(weather(**NIGHT))
    again = street.render(kerbside, [BOX], noise_seed=5)
    for before, after in zip(kept, (again.bgra, again.semantic, again.depth_m), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("size", [(160, 120), (33, 7)])
def test_any_number_of_threads_gives_the_same_bytes(make, threads, size):
    parts = (make.ground(), make.facing(20.0, 6.0, 3.0, 3.0), make.facing(30.0, -6.0, 4.0, 4.0))
    view = make.view((0.0, 0.0, 2.0), (-10.0, 3.0, 1.0), width=size[0], height=size[1])
    pictures = []
    for rasteriser in (make.rasteriser(*parts), make.rasteriser(*parts, threads=threads)):
        rasteriser.register_mesh("box", make.facing(0.0, 0.0, 0.8, 0.8))
        rasteriser.set_lighting(weather(**NIGHT))
        frame = rasteriser.render(view, [BOX], noise_seed=4)
        pictures.append([frame.bgra, frame.semantic, frame.depth_m, frame.instance, frame.normals])
    for one, other in zip(*pictures, strict=True):
        np.testing.assert_array_equal(one, other)


_OTHER_PROCESS = """
import hashlib, sys
sys.path[:0] = {paths!r}
from conftest import Workshop
from sim.pocket.camera.view import Instance
from sim.pocket.geometry import Rotation, Transform, Vector3
make = Workshop()
rasteriser = make.rasteriser(make.ground(), make.facing(20.0, 6.0, 3.0, 3.0))
frame = rasteriser.render(make.view((0.0, 0.0, 2.0), (-10.0, 3.0, 1.0)), [])
print(hashlib.sha256(frame.bgra.tobytes() + frame.depth_m.tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_bytes(make, request):
    rasteriser = make.rasteriser(make.ground(), make.facing(20.0, 6.0, 3.0, 3.0))
    frame = rasteriser.render(make.view((0.0, 0.0, 2.0), (-10.0, 3.0, 1.0)), [])
    here = hashlib.sha256(frame.bgra.tobytes() + frame.depth_m.tobytes()).hexdigest()
    paths = [str(request.path.parent), str(request.config.rootpath)]
    code = _OTHER_PROCESS.format(paths=paths)
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_fog_swallows_more_the_farther_a_surface_is(street, kerbside, make):
    street.set_lighting(weather(fog_density=100.0, cloudiness=100.0, fog_distance=0.0))
    view = make.view((0.0, 0.0, 2.0))
    image = colours(street, view)[..., 1]
    middle_column = image[62:, 40]
    fog = image[40, 40]
    distance_to_fog = np.abs(middle_column - fog)
    assert (np.diff(distance_to_fog) >= -0.5).all()
    assert distance_to_fog[0] < 3.0 < distance_to_fog[-1]


def test_more_fog_density_means_paler_walls(street, kerbside):
    saturations = []
    for density in (20.0, 50.0, 100.0):
        street.set_lighting(weather(fog_density=density, fog_distance=0.0))
        wall = colours(street, kerbside)[40, 104]
        saturations.append(wall[2] - wall[0])
    assert saturations == sorted(saturations, reverse=True)
    assert saturations[0] > 30.0 > 10.0 > saturations[-1]


def test_fog_begins_at_its_distance(street, kerbside):
    street.set_lighting(weather(fog_density=100.0, fog_distance=0.0))
    at_once = colours(street, kerbside)[-1]
    street.set_lighting(weather(fog_density=100.0, fog_distance=50.0))
    later = colours(street, kerbside)[-1]
    street.set_lighting(weather(fog_density=100.0, fog_distance=200.0))
    np.testing.assert_array_equal(later, colours(street, kerbside)[-1])
    assert np.abs(at_once - later).max() > 10.0


def test_night_is_15_to_30_percent_of_day_bluish_and_noisy(street, kerbside):
    street.set_lighting(weather())
    day = colours(street, kerbside)
    street.set_lighting(weather(**NIGHT))
    night = colours(street, kerbside)
    ground = np.s_[80:]
    assert 0.15 < night[ground].mean() / day[ground].mean() < 0.30
    assert night[ground][..., 0].mean() > night[ground][..., 2].mean()
    assert 2.0 < night[100:, 20:60].std(axis=(0, 1)).mean() < 10.0
    assert night.std() < 0.5 * day.std()


def test_the_noise_depends_on_its_seed_alone(street, kerbside):
    street.set_lighting(weather(**NIGHT))
    one, again, other = (colours(street, kerbside, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_day_has_no_noise(street, kerbside):
    street.set_lighting(weather())
    np.testing.assert_array_equal(
        colours(street, kerbside, seed=1), colours(street, kerbside, seed=2)
    )


def test_light_changes_continuously_with_the_height_of_the_sun(street, kerbside):
    levels = []
    for altitude in np.arange(-20.0, 60.0, 2.0):
        street.set_lighting(weather(sun_altitude_angle=float(altitude), sun_azimuth_angle=60.0))
        levels.append(colours(street, kerbside)[80:].mean())
    steps = np.diff(levels)
    assert np.abs(steps).max() < 20.0
    assert levels[-1] > levels[10] > levels[0]


def test_a_lamp_shines_at_night_and_a_wall_does_not(make):
    looks = {"colour": (1.0, 0.9, 0.8)}
    rasteriser = make.rasteriser(
        make.facing(10.0, -2.0, 0.0, 1.0, emissive=1.0, **looks),
        make.facing(10.0, 2.0, 0.0, 1.0, **looks),
    )
    rasteriser.set_lighting(weather(**NIGHT))
    image = colours(rasteriser, make.view())
    assert image[60, 64].mean() > 200.0
    assert image[60, 96].mean() < 70.0


def test_a_lamp_is_seen_through_fog_farther_than_a_wall(make):
    looks = {"colour": (0.0, 0.0, 1.0)}
    rasteriser = make.rasteriser(
        make.facing(40.0, -8.0, 0.0, 4.0, emissive=1.0, **looks),
        make.facing(40.0, 8.0, 0.0, 4.0, **looks),
    )
    rasteriser.set_lighting(weather(fog_density=60.0, fog_distance=0.0))
    image = colours(rasteriser, make.view())
    lamp, wall, fog = image[60, 64], image[60, 96], image[30, 80]
    assert np.abs(lamp - fog).sum() > 2.0 * np.abs(wall - fog).sum()


def test_a_wall_throws_its_shadow_away_from_the_sun(make):
    wall = make.quad([(20, -3, 0), (20, 3, 0), (20, 3, 6), (20, -3, 6)], normal=(-1, 0, 0))
    rasteriser = make.rasteriser(make.ground(colour=(0.5, 0.5, 0.5)), wall)
    rasteriser.set_lighting(weather(sun_azimuth_angle=90.0, sun_altitude_angle=45.0))
    view = make.view((20.0, 0.0, 40.0), (-90.0, 0.0, 0.0), width=200, height=200)
    sun_on_right = colours(rasteriser, view)[100]
    rasteriser.set_lighting(weather(sun_azimuth_angle=0.0, sun_altitude_angle=45.0))
    sun_ahead = colours(rasteriser, view)
    # Seen from above, up is +x: a sun at +x throws the shadow of 6 m height 6 m downwards.
    metres_per_pixel = 40.0 / view.focal_px
    column = sun_ahead[:, 100, 1]
    dark = np.flatnonzero(column < 0.75 * column.max())
    assert dark.min() == pytest.approx(100, abs=2)
    assert (dark.max() - 100) * metres_per_pixel == pytest.approx(6.0, abs=0.6)
    assert sun_on_right[:, 1].min() > 0.75 * column.max()


def test_shadows_are_not_baked_anew_for_every_tick_of_a_moving_sun(make, kerbside, monkeypatch):
    baked = []

    def bake(*given):
        baked.append(given)
        return bake_sun_shadows(*given)

    monkeypatch.setattr("sim.pocket.camera.rasteriser.bake_sun_shadows", bake)
    street = make.rasteriser(make.ground(), make.facing(20.0, 6.0, 3.0, 3.0))
    for tick in range(100):  # two degrees in five seconds
        street.set_lighting(weather(sun_altitude_angle=45.0 - 0.02 * tick))
        street.render(kerbside, [], want=Channels.RGB)
    assert 5 <= len(baked) <= 10


def test_a_standing_instance_shades_the_ground_under_and_behind_it(make):
    rasteriser = make.rasteriser(make.ground(colour=(0.5, 0.5, 0.5)))
    rasteriser.register_mesh("board", make.facing(0.0, 0.0, 1.0, 1.0))
    rasteriser.set_lighting(weather(sun_azimuth_angle=0.0, sun_altitude_angle=45.0))
    view = make.view((20.0, 0.0, 20.0), (-90.0, 0.0, 0.0), width=200, height=200)
    board = Instance(mesh_key="board", transform=Transform(Vector3(20.0, 0.0, 0.0), Rotation()))
    empty = colours(rasteriser, view)
    shaded = colours(rasteriser, view, [board])
    metres_per_pixel = 20.0 / view.focal_px
    behind = 100 + int(1.3 / metres_per_pixel)
    ahead = 100 - int(1.3 / metres_per_pixel)
    assert shaded[behind, 100, 1] < 0.75 * empty[behind, 100, 1]
    assert shaded[ahead, 100, 1] == empty[ahead, 100, 1]


def test_paint_replaces_white(street, kerbside):
    street.set_lighting(weather())
    without = colours(street, kerbside)
    painted = colours(street, kerbside, [BOX])
    changed = painted[(painted != without).any(axis=-1)]
    reddest = changed[np.argmax(changed[:, 2] - changed[:, 0])]
    assert reddest[2] > 3.0 * reddest[0]


def test_alpha_is_opaque_everywhere(street, kerbside):
    street.set_lighting(weather(**NIGHT))
    assert (street.render(kerbside, [BOX]).bgra[..., 3] == 255).all()


def test_a_wet_road_is_darker(street, kerbside):
    street.set_lighting(weather())
    dry = colours(street, kerbside)[100:].mean()
    street.set_lighting(weather(wetness=100.0))
    assert colours(street, kerbside)[100:].mean() < 0.85 * dry


@pytest.mark.parametrize("wrong", [(1.0,) * 13, (1.0,) * 13 + (float("nan"),)])
def test_weather_that_is_not_fourteen_finite_numbers_is_refused(wrong):
    with pytest.raises(UserError, match="14 finite numbers"):
        lighting_from_weather(wrong)


def test_textures_of_another_shape_are_refused():
    with pytest.raises(DataError, match="power of two"):
        texture_pyramid(np.zeros((1, 6, 6, 4), np.uint8))
    with pytest.raises(DataError, match="expected"):
        texture_pyramid(np.zeros((1, 8, 8, 3), np.uint8))


def test_pixels_that_are_lit_alike_are_lit_as_if_each_were_looked_at(street, kerbside):
    street.set_lighting(weather())
    together = colours(street, kerbside, [BOX])
    baked = street._baked
    anything = np.zeros_like(baked.shadows.blocks)
    anything[1] = np.iinfo(anything.dtype).max
    street._baked = replace(baked, shadows=baked.shadows._replace(blocks=anything))
    alone = colours(street, kerbside, [BOX])
    street._baked = baked
    assert np.array_equal(together, alone)


LAMP_AT = (20.0, 4.0, 0.0)


@pytest.fixture(scope="module")
def lamplit(make):
    """A dark street with one street lamp on the right."""
    rasteriser = make.rasteriser(make.ground(colour=(0.35, 0.35, 0.35)), lamps=[LAMP_AT])
    rasteriser.register_mesh("car", make.facing(0.0, 0.0, 0.8, 0.8))
    return rasteriser


def seen_from_above(make):
    """Row 100 - x and column 100 + y of the picture show the ground at x, y + 20, roughly."""
    return make.view((20.0, 0.0, 20.0), (-89.9, 0.0, 0.0), width=200, height=200)


def test_a_street_lamp_lights_the_ground_below_it_at_night_alone(make, lamplit):
    view = seen_from_above(make)
    lamplit.set_lighting(weather(**NIGHT))
    night = colours(lamplit, view)
    below, elsewhere = night[90:110, 110:130], night[90:110, 0:15]
    assert below.mean() > 2.0 * elsewhere.mean()
    assert below[..., 2].mean() > below[..., 0].mean(), "lamplight is warm"
    lamplit.set_lighting(weather())
    day = colours(lamplit, view)
    assert day[90:110, 110:130].mean() == pytest.approx(day[90:110, 0:15].mean(), rel=0.02)


def test_headlamps_light_the_road_ahead_and_not_behind(make):
    rasteriser = make.rasteriser(make.ground(colour=(0.35, 0.35, 0.35)))
    rasteriser.register_mesh("car", make.facing(0.0, 0.0, 0.8, 0.8))
    rasteriser.set_lighting(weather(**NIGHT))
    car = Instance(mesh_key="car", transform=Transform(Vector3(20.0, 0.0, 0.0), Rotation()))
    view = seen_from_above(make)
    dark = colours(rasteriser, view, [car])
    lit = colours(rasteriser, view, [replace(car, headlamps=True)])
    ahead, behind = np.s_[40:70, 90:110], np.s_[130:160, 90:110]
    assert lit[ahead].mean() > 2.0 * dark[ahead].mean()
    np.testing.assert_array_equal(lit[behind], dark[behind])


def test_lamps_far_from_the_camera_change_nothing(make, lamplit):
    bare = make.rasteriser(make.ground(colour=(0.35, 0.35, 0.35)))
    view = make.view((-300.0, 0.0, 2.0), (-40.0, 0.0, 0.0))
    pictures = []
    for rasteriser in (bare, lamplit):
        rasteriser.set_lighting(weather(**NIGHT))
        pictures.append(colours(rasteriser, view))
    np.testing.assert_array_equal(*pictures)


def test_a_wet_road_mirrors_the_sky_to_who_looks_along_it(street, make):
    level = make.view((0.0, 0.0, 2.0))
    street.set_lighting(weather(sun_altitude_angle=60.0))
    dry = colours(street, level)
    street.set_lighting(weather(sun_altitude_angle=60.0, precipitation_deposits=100.0))
    wet = colours(street, level)
    far, near = np.s_[63:66, 20], np.s_[118:120, 20]
    assert wet[far].mean() > dry[far].mean() + 20.0
    assert wet[near].mean() < dry[near].mean()


def test_rain_draws_drops_that_fall_anew_in_every_picture(street, kerbside):
    pictures = {}
    for rain in (0.0, 30.0, 100.0):
        street.set_lighting(weather(precipitation=rain))
        pictures[rain] = colours(street, kerbside, seed=1)
    other = colours(street, kerbside, seed=2)
    changed = (pictures[100.0] != other).any(axis=2).mean()
    assert 0.01 < changed < 0.2
    np.testing.assert_array_equal(pictures[100.0], colours(street, kerbside, seed=1))

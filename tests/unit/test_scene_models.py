"""Models of what moves: they fit their boxes, take paint and show their state."""

import numpy as np
import pytest

from bicameral.errors import UserError
from sim.pocket.blueprints.props import PROP_IDS, prop_half_extent
from sim.pocket.geometry import Vector3
from sim.pocket.scene.figures import LOOKS, walker_mesh
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.models import prop_mesh, signal_head_mesh
from sim.pocket.scene.vehicle_models import vehicle_mesh
from sim.pocket.vehicles import VEHICLE_MODELS
from sim.pocket.world.spawning import TAG_BY_BASE_TYPE


@pytest.mark.parametrize("model", VEHICLE_MODELS, ids=lambda model: model.type_id)
def test_a_vehicle_stands_on_the_ground_and_fills_its_bounding_box(model):
    mesh = vehicle_mesh(model.type_id, model.half_extent)
    low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
    assert low[2] == pytest.approx(0.0, abs=0.05)
    if model.number_of_wheels == 4:
        assert high[2] == pytest.approx(2 * model.half_extent.z, abs=0.05)
        np.testing.assert_allclose(high[:2], model.half_extent[:2], atol=0.06)
    assert (mesh.colours == 1.0).all(axis=1).any(), "nothing would take the paint"


def test_a_vehicle_is_symmetric_about_its_length():
    model = next(m for m in VEHICLE_MODELS if m.type_id == "vehicle.tesla.model3")
    mesh = vehicle_mesh(model.type_id, model.half_extent)
    assert mesh.positions[:, 1].min() == pytest.approx(-mesh.positions[:, 1].max(), abs=1e-5)


@pytest.mark.parametrize("model", VEHICLE_MODELS, ids=lambda model: model.type_id)
def test_a_vehicle_is_in_the_picture_what_its_semantic_tags_say(model):
    tags = set(vehicle_mesh(model.type_id, model.half_extent).tags.tolist())
    assert tags - {CityObjectLabel.RIDER} == {TAG_BY_BASE_TYPE[model.base_type]}


@pytest.mark.parametrize(("state", "channel"), [(0, 0), (2, 1)])
def test_exactly_one_lamp_of_a_lit_signal_head_glows_in_its_colour(state, channel):
    mesh = signal_head_mesh(state)
    glowing = mesh.triangles[mesh.emissive > 0]
    colours = np.unique(mesh.colours[glowing].reshape(-1, 3), axis=0)
    assert len(colours) == 1
    assert colours[0].argmax() == channel


@pytest.mark.parametrize("state", [3, 4])
def test_a_signal_head_that_is_off_or_unknown_is_dark(state):
    assert not signal_head_mesh(state).emissive.any()


def test_lamps_look_along_the_forward_axis():
    mesh = signal_head_mesh(0)
    glowing = mesh.triangles[mesh.emissive > 0]
    np.testing.assert_allclose(mesh.normals[glowing].reshape(-1, 3)[:, 0], 1.0)


@pytest.mark.parametrize("pose", [0, 1, 4, 8, 16])
def test_a_walker_is_as_tall_as_a_person_about_its_origin(pose):
    mesh = walker_mesh(pose)
    assert mesh.positions[:, 2].min() == pytest.approx(-0.93, abs=0.02)
    assert 0.8 < mesh.positions[:, 2].max() < 0.95


def test_cars_have_four_bodies_and_walkers_several_figures():
    cars = {
        vehicle_mesh(name, Vector3(2.2, 0.9, 0.72)).positions.tobytes()
        for name in ("vehicle.tesla.model3", "vehicle.ford.mustang")
    }
    cars |= {
        vehicle_mesh("vehicle.a.b", half).positions.tobytes()
        for half in (Vector3(1.9, 0.9, 0.75), Vector3(2.3, 0.95, 0.9))
    }
    assert len(cars) == 4
    assert len({walker_mesh(0, look).colours.tobytes() for look in range(LOOKS)}) >= 4


@pytest.mark.parametrize("prop_id", PROP_IDS)
def test_a_prop_is_as_large_as_its_bounding_box(prop_id):
    mesh = prop_mesh(prop_id)
    size = mesh.positions.max(axis=0) - mesh.positions.min(axis=0)
    np.testing.assert_allclose(size, 2 * np.array(prop_half_extent(prop_id)), rtol=1e-3)
    assert mesh.positions[:, 2].min() == pytest.approx(0.0, abs=1e-6)


def test_an_unknown_prop_is_refused():
    with pytest.raises(UserError, match="unknown prop"):
        prop_mesh("static.prop.unicorn")

"""The blueprint library offers what scripts look up without asking."""

import re

import pytest

from bicameral.errors import UserError
from sim.pocket.blueprints.attributes import AttributeType
from sim.pocket.blueprints.library import BLUEPRINTS, blueprint_by_id
from sim.pocket.blueprints.props import prop_half_extent
from sim.pocket.vehicles import VEHICLE_MODELS, vehicle_model

pytestmark = pytest.mark.unit


def attributes(blueprint):
    return {attribute.id: attribute for attribute in blueprint.attributes}


def of_kind(prefix):
    return [blueprint for blueprint in BLUEPRINTS if blueprint.id.startswith(prefix)]


def test_ids_have_three_parts_and_are_unique():
    ids = [blueprint.id for blueprint in BLUEPRINTS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[^\s.]+\.[^\s.]+\.[^.]+", name) for name in ids)


def test_uids_number_the_library_from_one():
    assert [blueprint.uid for blueprint in BLUEPRINTS] == list(range(1, len(BLUEPRINTS) + 1))


def test_tags_are_the_parts_of_the_id():
    assert blueprint_by_id("vehicle.tesla.model3").tags == "vehicle,tesla,model3"


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda blueprint: blueprint.id)
def test_every_attribute_is_consistent(blueprint):
    names = [attribute.id for attribute in blueprint.attributes]
    assert len(set(names)) == len(names)
    assert "role_name" in names
    for attribute in blueprint.attributes:
        assert bool(attribute.recommended) == attribute.modifiable
        if attribute.modifiable:
            assert attribute.value in attribute.recommended
        for value in {attribute.value, *attribute.recommended}:
            if attribute.type == AttributeType.BOOL:
                assert value in ("true", "false")
            elif attribute.type == AttributeType.INT:
                int(value)
            elif attribute.type == AttributeType.FLOAT:
                float(value)
            elif attribute.type == AttributeType.COLOUR:
                assert len([int(part) for part in value.split(",")]) == 3


def test_vehicles_carry_what_scripts_filter_on():
    wanted = {
        "base_type", "special_type", "generation", "number_of_wheels", "color", "role_name",
        "sticky_control", "object_type", "has_lights", "has_dynamic_doors", "terramechanics",
    }  # fmt: skip
    for blueprint in of_kind("vehicle."):
        assert wanted <= set(attributes(blueprint))


def test_there_are_cars_trucks_vans_buses_and_two_wheelers():
    vehicles = [attributes(blueprint) for blueprint in of_kind("vehicle.")]
    kinds = [vehicle["base_type"].value for vehicle in vehicles]
    assert sum(kind == "car" for kind in kinds) >= 10
    assert {"car", "truck", "van", "bus", "motorcycle", "bicycle"} == set(kinds)
    assert {vehicle["generation"].value for vehicle in vehicles} == {"1", "2"}
    assert {vehicle["number_of_wheels"].value for vehicle in vehicles} == {"2", "4"}


def test_two_wheelers_have_a_driver():
    assert attributes(blueprint_by_id("vehicle.yamaha.yzf"))["driver_id"].recommended


def test_walkers_come_in_both_generations():
    walkers = [attributes(blueprint) for blueprint in of_kind("walker.pedestrian.")]
    assert {walker["generation"].value for walker in walkers} == {"1", "2"}
    assert all(len(walker["speed"].recommended) == 3 for walker in walkers)


@pytest.mark.parametrize(
    "sensor",
    [
        "camera.rgb", "camera.depth", "camera.semantic_segmentation",
        "camera.instance_segmentation", "camera.normals", "camera.optical_flow", "camera.dvs",
        "camera.cosmos_visualization", "lidar.ray_cast", "lidar.ray_cast_semantic",
        "other.collision", "other.lane_invasion", "other.obstacle", "other.gnss", "other.imu",
        "other.radar", "other.rss", "other.v2x", "other.v2x_custom",
    ],
)  # fmt: skip
def test_every_sensor_exists(sensor):
    assert blueprint_by_id(f"sensor.{sensor}").attributes


def test_the_rgb_camera_has_the_attributes_that_manual_control_sets():
    camera = attributes(blueprint_by_id("sensor.camera.rgb"))
    wanted = {"image_size_x", "fov", "gamma", "chromatic_aberration_offset", "lens_circle_falloff"}
    assert wanted <= set(camera)
    assert (camera["image_size_x"].value, camera["fov"].value) == ("800", "90.0")


@pytest.mark.parametrize(
    "name", ["static.trigger.friction", "controller.ai.walker", "static.prop.streetbarrier"]
)
def test_other_actors_exist(name):
    assert blueprint_by_id(name).id == name


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(UserError, match=r"Did you mean 'vehicle\.tesla\.model3'"):
        blueprint_by_id("vehicle.tesla.model_3")


def test_every_vehicle_blueprint_has_a_model_and_every_prop_a_box():
    assert {b.id for b in of_kind("vehicle.")} == {model.type_id for model in VEHICLE_MODELS}
    for blueprint in of_kind("static.prop."):
        assert min(prop_half_extent(blueprint.id)) > 0.0


def test_the_model_3_steers_70_degrees():
    physics = vehicle_model("vehicle.tesla.model3").physics
    assert [wheel.max_steer_angle for wheel in physics.wheels] == [70.0, 70.0, 0.0, 0.0]


def test_an_unknown_vehicle_is_a_user_error():
    with pytest.raises(UserError, match="unknown vehicle"):
        vehicle_model("vehicle.trabant.601")


@pytest.mark.parametrize(
    ("name", "length_m", "width_m"),
    [
        ("advertisement", 1.55, 0.29),
        ("container", 1.93, 1.01),
        ("busstoplb", 1.89, 3.88),
        ("foodcart", 2.28, 4.64),
        ("haybalelb", 1.25, 1.19),
    ],
)
def test_blockers_of_the_official_scenarios_lie_the_way_carlas_do(name, length_m, width_m):
    half = prop_half_extent(f"static.prop.{name}")
    assert (2.0 * half.x, 2.0 * half.y) == pytest.approx((length_m, width_m))


@pytest.mark.parametrize(
    "name",
    [
        "bike helmet", "brokentile04", "calibrator", "clothesline", "doghouse", "garbage06",
        "maptable", "pergola", "plantpot08", "swingcouch", "trashcan05",
    ],
)  # fmt: skip
def test_every_prop_of_carla_is_there(name):
    assert blueprint_by_id(f"static.prop.{name}")


@pytest.mark.parametrize(
    ("name", "length_m", "width_m", "height_m"),
    [
        ("audi.tt", 4.18, 1.99, 1.39),
        ("bh.crossbike", 1.51, 0.87, 1.61),
        ("carlamotors.carlacola", 5.20, 2.63, 2.47),
        ("carlamotors.european_hgv", 7.94, 2.89, 3.46),
        ("diamondback.century", 1.66, 0.58, 1.62),
        ("dodge.charger_police_2020", 5.24, 1.93, 1.64),
        ("gazelle.omafiets", 1.84, 0.66, 1.78),
        ("kawasaki.ninja", 2.04, 0.80, 1.52),
        ("lincoln.mkz_2017", 4.90, 2.13, 1.51),
        ("mini.cooper_s", 3.81, 1.97, 1.48),
        ("mitsubishi.fusorosa", 10.27, 3.94, 4.25),
        ("nissan.patrol_2021", 5.57, 2.15, 2.05),
    ],
)
def test_vehicles_of_the_official_scenarios_are_as_large_as_carlas(
    name, length_m, width_m, height_m
):
    half = vehicle_model(f"vehicle.{name}").half_extent
    size = (2.0 * half.x, 2.0 * half.y, 2.0 * half.z)
    assert size == pytest.approx((length_m, width_m, height_m), abs=0.011)

"""Map layers and environment objects: what is hidden is not seen, not hit, and comes back."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Iterator

import carla
import numpy as np
import pytest

BUILDINGS, VEGETATION, ROADS = 3, 9, 1
See = Callable[[], Counter[int]]


@pytest.fixture
def see(world: carla.World) -> Iterator[See]:
    """Count the pixels of each tag above a street between houses."""
    blueprint = world.get_blueprint_library().find("sensor.camera.semantic_segmentation")
    blueprint.set_attribute("image_size_x", "96")
    blueprint.set_attribute("image_size_y", "96")
    house = nearest_building(world)
    place = carla.Transform(house + carla.Location(z=60.0), carla.Rotation(pitch=-90.0))
    camera = world.spawn_actor(blueprint, place)
    images: queue.Queue[carla.Image] = queue.Queue()
    camera.listen(images.put)

    def count() -> Counter[int]:
        frame = world.tick()
        while (image := images.get(timeout=60.0)).frame != frame:
            pass
        pixels = np.frombuffer(image.raw_data, np.uint8).reshape(-1, 4)
        return Counter(pixels[:, 2].tolist())

    yield count
    camera.stop()
    camera.destroy()
    world.load_map_layer(carla.MapLayer.All)


def buildings(world: carla.World) -> list[carla.EnvironmentObject]:
    return world.get_environment_objects(carla.CityObjectLabel.Buildings)


def nearest_building(world: carla.World) -> carla.Location:
    middle = world.get_map().get_spawn_points()[0].location
    boxes = [one.bounding_box.location for one in buildings(world)]
    return min(boxes, key=middle.distance_2d)


@pytest.mark.parametrize(
    ("layer", "tag", "stays"),
    [
        (carla.MapLayer.Buildings, BUILDINGS, VEGETATION),
        (carla.MapLayer.Foliage, VEGETATION, BUILDINGS),
    ],
)
def test_a_layer_goes_and_comes_back(world, see, layer, tag, stays):
    before = see()
    assert before[tag] > 20
    assert before[stays] > 20
    world.unload_map_layer(layer)
    after = see()
    assert after[tag] < before[tag]
    assert tag == VEGETATION or not after[tag]  # the floor of woods stays
    assert after[stays] >= before[stays]
    world.load_map_layer(layer)
    assert see() == before


def test_layers_that_hold_nothing_here_change_nothing(world, see):
    before = see()
    world.unload_map_layer(carla.MapLayer.Ground)
    world.unload_map_layer(carla.MapLayer.ParkedVehicles)
    assert see() == before


def test_one_building_can_be_hidden_and_is_then_no_obstacle(world, see):
    before = see()
    house = nearest_building(world)
    (number,) = [one.id for one in buildings(world) if one.bounding_box.location == house]
    start, end = house + carla.Location(z=60.0), house - carla.Location(z=60.0)

    def labels() -> list[carla.CityObjectLabel]:
        return [point.label for point in world.cast_ray(start, end)]

    assert carla.CityObjectLabel.Buildings in labels()
    world.enable_environment_objects({number}, False)
    after = see()
    assert after[BUILDINGS] < before[BUILDINGS]
    assert carla.CityObjectLabel.Buildings not in labels()
    assert number in [one.id for one in buildings(world)]  # so that it can be shown again
    world.enable_environment_objects({number}, True)
    assert see() == before
    assert carla.CityObjectLabel.Buildings in labels()


def test_a_town_may_be_loaded_without_its_buildings(client, towns):
    world = client.load_world("Harbour", True, carla.MapLayer.Foliage)
    house = nearest_building(world)
    start, end = house + carla.Location(z=60.0), house - carla.Location(z=60.0)
    world.wait_for_tick()
    labels = [point.label for point in world.cast_ray(start, end)]
    assert carla.CityObjectLabel.Buildings not in labels
    world = client.load_world("Harbour")
    labels = [point.label for point in world.cast_ray(start, end)]
    assert carla.CityObjectLabel.Buildings in labels


def test_textures_are_refused_with_a_sentence(world):
    with pytest.raises(RuntimeError, match="textures of its own"):
        world.apply_color_texture_to_object(
            "Buildings_1", carla.MaterialParameter.Diffuse, carla.TextureColor(1, 1)
        )

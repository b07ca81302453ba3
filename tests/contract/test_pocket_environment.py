"""Weather, traffic lights, scenery and the spectator, through the real client."""

import carla
import pytest

WEATHER_FIELDS = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "fog_falloff",
    "wetness",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)


def lights_of(world):
    lights = world.get_actors().filter("traffic.traffic_light*")
    if not lights:
        pytest.skip("this town has no traffic lights")
    return lights


def test_weather_comes_back_as_it_was_set(world):
    weather = carla.WeatherParameters()
    for number, name in enumerate(WEATHER_FIELDS, start=1):
        setattr(weather, name, float(number))
    world.set_weather(weather)
    found = world.get_weather()
    assert [getattr(found, name) for name in WEATHER_FIELDS] == [float(n) for n in range(1, 15)]


def test_a_fresh_world_has_a_clear_noon(client, world):
    world.set_weather(carla.WeatherParameters.HardRainSunset)
    weather = client.reload_world(False).get_weather()
    assert weather.sun_altitude_angle > 45.0
    assert weather.fog_density < 5.0


def test_the_spectator_goes_where_it_is_put(world):
    spectator = world.get_spectator()
    pose = carla.Transform(carla.Location(1.0, 2.0, 3.0), carla.Rotation(4.0, 5.0, 6.0))
    spectator.set_transform(pose)
    world.tick()
    assert spectator.get_transform().location == pose.location
    assert spectator.get_transform().rotation.yaw == pytest.approx(5.0)
    assert spectator.type_id == "spectator"


def test_every_light_of_the_map_is_an_actor(town):
    lights = lights_of(town)
    landmarks = town.get_map().get_all_landmarks_of_type("1000001")
    assert {light.get_opendrive_id() for light in lights} == {mark.id for mark in landmarks}
    for landmark in landmarks:
        assert town.get_traffic_light(landmark).get_opendrive_id() == landmark.id


def test_a_lights_state_and_times_can_be_set(town):
    light = lights_of(town)[0]
    light.set_state(carla.TrafficLightState.Yellow)
    light.set_green_time(7.0)
    light.set_yellow_time(1.5)
    light.set_red_time(2.5)
    light.freeze(True)
    town.tick()
    assert light.get_state() == carla.TrafficLightState.Yellow
    assert light.is_frozen()
    assert light.get_green_time() == pytest.approx(7.0)
    assert light.get_yellow_time() == pytest.approx(1.5)
    assert light.get_red_time() == pytest.approx(2.5)
    town.freeze_all_traffic_lights(False)
    town.reset_all_traffic_lights()
    town.tick()
    assert not light.is_frozen()


def test_lights_know_their_group_lanes_and_boxes(town):
    for light in lights_of(town):
        group = light.get_group_traffic_lights()
        assert light.id in [member.id for member in group]
        assert light.get_light_boxes()
        assert light.trigger_volume.extent.x > 0.0
        assert light.get_stop_waypoints()
        assert light.get_affected_lane_waypoints()


def test_lights_change_while_time_passes(town):
    lights = lights_of(town)
    town.reset_all_traffic_lights()
    settings = town.get_settings()
    settings.fixed_delta_seconds = 0.5
    town.apply_settings(settings)
    seen = {light.id: set() for light in lights}
    for _ in range(400):
        town.tick()
        for light in lights:
            seen[light.id].add(light.get_state())
    settings.fixed_delta_seconds = 0.05
    town.apply_settings(settings)
    wanted = {
        carla.TrafficLightState.Red,
        carla.TrafficLightState.Yellow,
        carla.TrafficLightState.Green,
    }
    complete = [states for states in seen.values() if states >= wanted]
    assert len(complete) >= 0.9 * len(seen)


def test_a_vehicle_before_a_light_stands_at_it(town):
    blueprint = town.get_blueprint_library().find("vehicle.tesla.model3")
    for light in list(lights_of(town))[:5]:
        light.set_state(carla.TrafficLightState.Red)
        light.freeze(True)
        stop = light.get_stop_waypoints()[0]
        pose = stop.transform
        pose.location.z += 0.3
        vehicle = town.try_spawn_actor(blueprint, pose)
        if vehicle is None:
            continue
        town.tick()
        assert vehicle.is_at_traffic_light()
        assert vehicle.get_traffic_light_state() == carla.TrafficLightState.Red
        assert vehicle.get_traffic_light().get_opendrive_id() == light.get_opendrive_id()
        vehicle.destroy()
        town.tick()
    town.freeze_all_traffic_lights(False)


def test_a_vehicle_that_waits_as_its_light_turns_red_is_at_no_light_for_one_tick(town):
    """So that the Traffic Manager, which keeps the green in which it came, sees the red."""
    light = lights_of(town)[0]
    town.freeze_all_traffic_lights(True)
    light.set_state(carla.TrafficLightState.Green)
    pose = light.get_stop_waypoints()[0].transform
    pose.location.z += 0.3
    blueprint = town.get_blueprint_library().find("vehicle.tesla.model3")
    vehicle = town.spawn_actor(blueprint, pose)
    for _ in range(10):
        town.tick()
    at_light = []
    for state in (carla.TrafficLightState.Yellow, carla.TrafficLightState.Red):
        light.set_state(state)
        for _ in range(3):
            town.tick()
            at_light.append(vehicle.is_at_traffic_light())
    assert at_light == [True, True, True, False, True, True]
    assert vehicle.get_traffic_light_state() == carla.TrafficLightState.Red
    vehicle.destroy()
    town.freeze_all_traffic_lights(False)


def test_scenery_has_boxes_and_objects(town):
    every = town.get_level_bbs(carla.CityObjectLabel.Any)
    assert every
    for box in every:
        assert min(box.extent.x, box.extent.y, box.extent.z) > 0.0
    objects = town.get_environment_objects(carla.CityObjectLabel.Any)
    assert len(objects) == len(every)
    assert len({item.id for item in objects}) == len(objects)
    assert len(town.get_names_of_all_objects()) == len(objects)
    town.enable_environment_objects({objects[0].id}, False)
    kinds = {item.type for item in objects}
    counts = [len(town.get_environment_objects(kind)) for kind in kinds]
    assert sum(counts) == len(objects)


def test_every_kind_of_thing_in_sight_has_boxes(town):
    label = carla.CityObjectLabel
    library, points = town.get_blueprint_library(), town.get_map().get_spawn_points()
    names = ("vehicle.tesla.model3", "vehicle.carlamotors.firetruck", "vehicle.yamaha.yzf")
    kinds = (label.Car, label.Truck, label.Motorcycle)
    spawned = [
        town.spawn_actor(library.find(name), point)
        for name, point in zip(names, points[:40:10], strict=False)
    ]
    town.tick()
    for actor, kind in zip(spawned, kinds, strict=True):
        (box,) = town.get_level_bbs(kind)
        expected = actor.get_transform().transform(actor.bounding_box.location)
        assert box.location.distance(expected) < 0.05
        assert box.extent.x == pytest.approx(actor.bounding_box.extent.x)
        assert not town.get_environment_objects(kind)
    lights = town.get_actors().filter("traffic.traffic_light")
    assert len(town.get_level_bbs(label.TrafficLight)) >= len(lights)
    for kind in (label.TrafficSigns, label.TrafficLight, label.Roads, label.Sidewalks,
                 label.RoadLines, label.Terrain):  # fmt: skip
        assert town.get_level_bbs(kind)
        assert len(town.get_environment_objects(kind)) == len(town.get_level_bbs(kind))


def test_a_ray_down_hits_the_road(town):
    point = town.get_map().get_spawn_points()[0].location
    high = carla.Location(point.x, point.y, point.z + 3.0)
    hit = town.ground_projection(high, 50.0)
    assert hit.label == carla.CityObjectLabel.Roads
    assert hit.location.z == pytest.approx(point.z - 0.5, abs=0.1)
    low = carla.Location(point.x, point.y, point.z - 5.0)
    labels = [found.label for found in town.cast_ray(high, low)]
    assert carla.CityObjectLabel.Roads in labels
    assert town.project_point(high, carla.Vector3D(0.0, 0.0, 1.0), 5.0) is None


def test_debug_drawing_is_accepted(world):
    place, debug = carla.Location(), world.debug
    debug.draw_point(place)
    debug.draw_line(place, carla.Location(1, 1, 1))
    debug.draw_arrow(place, carla.Location(1, 1, 1))
    debug.draw_box(carla.BoundingBox(place, carla.Vector3D(1, 1, 1)), carla.Rotation())
    debug.draw_string(place, "hello")
    world.tick()


def test_there_are_no_street_lamps_to_switch(world):
    manager = world.get_lightmanager()
    assert len(manager.get_all_lights()) == 0
    world.tick()


def test_imu_gravity_comes_back(world):
    world.set_imui_sensor_gravity(9.5)
    assert world.get_imui_sensor_gravity() == pytest.approx(9.5)
    world.set_imui_sensor_gravity(9.81)

"""Blueprints, spawning, destroying and batches, through the real client."""

import carla
import pytest

from sim.pocket.sensors.offer import OFFER, Refused

COMMAND = carla.command


@pytest.fixture
def model3(world):
    return world.get_blueprint_library().find("vehicle.tesla.model3")


@pytest.fixture
def points(world):
    return world.get_map().get_spawn_points()


def test_blueprints_have_the_attributes_that_scripts_index_blindly(world):
    library = world.get_blueprint_library()
    assert len(library.filter("vehicle.*")) >= 30
    for blueprint in library.filter("vehicle.*"):
        assert blueprint.get_attribute("base_type").as_str()
        assert int(blueprint.get_attribute("generation")) in (1, 2)
        assert int(blueprint.get_attribute("number_of_wheels")) in (2, 4)
    camera = library.find("sensor.camera.rgb")
    for name in ("image_size_x", "image_size_y", "fov", "sensor_tick", "gamma", "fstop"):
        assert camera.has_attribute(name)
    for name in ("static.prop.streetbarrier", "walker.pedestrian.0001", "controller.ai.walker"):
        assert library.find(name).id == name


def test_attributes_come_back_on_the_actor(world, model3, points):
    model3.set_attribute("role_name", "hero")
    model3.set_attribute("color", "200,10,10")
    vehicle = world.spawn_actor(model3, points[0])
    assert vehicle.attributes["role_name"] == "hero"
    assert vehicle.attributes["color"] == "200,10,10"
    assert vehicle.attributes["number_of_wheels"] == "4"
    assert vehicle.type_id == "vehicle.tesla.model3"
    assert list(vehicle.semantic_tags) == [int(carla.CityObjectLabel.Car)]
    assert vehicle.bounding_box.extent.x == pytest.approx(2.396, abs=0.01)
    assert vehicle.bounding_box.location.z == pytest.approx(vehicle.bounding_box.extent.z, abs=0.1)


def test_every_vehicle_can_be_spawned_and_driven(world, points):
    for blueprint in world.get_blueprint_library().filter("vehicle.*"):
        vehicle = world.spawn_actor(blueprint, points[0])
        vehicle.apply_control(carla.VehicleControl(throttle=1.0))
        for _ in range(30):
            world.tick()
        assert vehicle.get_velocity().length() > 0.1, blueprint.id
        assert vehicle.get_location().distance(points[0].location) < 15.0
        assert vehicle.destroy()
        world.tick()


def test_every_prop_and_simulated_sensor_can_be_spawned(world, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    library = world.get_blueprint_library()
    names = [b.id for b in library if b.id.startswith(("sensor.", "static.", "util."))]
    assert "sensor.lidar.ray_cast" in names
    for name in names:
        if isinstance(OFFER.get(name), Refused):
            continue
        parent = vehicle if name.startswith("sensor.") else None
        actor = world.spawn_actor(library.find(name), points[5], attach_to=parent)
        assert actor.type_id == name
        world.tick()
        assert actor.destroy()


def test_a_vehicle_stands_where_it_was_spawned(world, model3, points):
    for point in points[:20]:
        vehicle = world.spawn_actor(model3, point)
        world.tick()
        found = vehicle.get_transform()
        assert found.location.x == pytest.approx(point.location.x, abs=0.05)
        assert found.location.y == pytest.approx(point.location.y, abs=0.05)
        assert found.rotation.yaw == pytest.approx(point.rotation.yaw, abs=0.1)
        vehicle.destroy()


def test_a_taken_place_refuses_a_vehicle(world, model3, points):
    world.spawn_actor(model3, points[0])
    with pytest.raises(RuntimeError, match="Spawn failed because of collision at spawn position"):
        world.spawn_actor(model3, points[0])
    assert world.try_spawn_actor(model3, points[0]) is None
    assert world.try_spawn_actor(model3, points[1]) is not None


def test_all_spawn_points_of_a_town_are_free_at_once(town, client):
    blueprint = town.get_blueprint_library().find("vehicle.tesla.model3")
    spawns = [COMMAND.SpawnActor(blueprint, p) for p in town.get_map().get_spawn_points()]
    answers = client.apply_batch_sync(spawns[:100], True)
    assert [answer.error for answer in answers if answer.error] == []
    client.apply_batch_sync([COMMAND.DestroyActor(a.actor_id) for a in answers], True)


def test_an_attached_sensor_moves_with_its_parent(world, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    mount = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-15.0))
    camera = world.spawn_actor(blueprint, mount, attach_to=vehicle)
    assert camera.parent.id == vehicle.id
    vehicle.apply_control(carla.VehicleControl(throttle=0.7, steer=0.3))
    for _ in range(30):
        world.tick()
        there = vehicle.get_transform().transform(carla.Location(x=1.5, z=2.4))
        assert camera.get_location().distance(there) < 1e-3
    pitch = camera.get_transform().rotation.pitch - vehicle.get_transform().rotation.pitch
    assert pitch == pytest.approx(-15.0, abs=0.5)


def test_a_destroyed_actor_leaves_the_list(world, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    world.tick()
    assert vehicle.id in [actor.id for actor in world.get_actors()]
    assert vehicle.destroy()
    world.tick()
    assert vehicle.id not in [actor.id for actor in world.get_actors()]
    assert not vehicle.is_alive


def test_sensors_outlive_their_parent(world, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    blueprint = world.get_blueprint_library().find("sensor.other.imu")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
    world.tick()
    vehicle.destroy()
    world.tick()
    assert sensor.id in [actor.id for actor in world.get_actors()]
    assert sensor.destroy()


def test_lights_signs_and_the_spectator_cannot_be_destroyed(world):
    spectator = world.get_spectator()
    assert not spectator.destroy()
    world.tick()
    assert world.get_spectator().id in [actor.id for actor in world.get_actors()]


def test_a_batch_answers_every_command_by_itself(world, client, model3, points):
    answers = client.apply_batch_sync(
        [
            COMMAND.SpawnActor(model3, points[0]).then(
                COMMAND.ApplyVehicleControl(COMMAND.FutureActor, carla.VehicleControl(throttle=0.7))
            ),
            COMMAND.SpawnActor(model3, points[0]),
            COMMAND.DestroyActor(99999),
        ],
        True,
    )
    assert not answers[0].error
    assert "collision" in answers[1].error
    assert answers[2].error
    vehicle = world.get_actor(answers[0].actor_id)
    assert vehicle.get_control().throttle == pytest.approx(0.7)


def test_every_command_is_understood(world, client, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    walker_blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    walker = world.spawn_actor(walker_blueprint, points[3])
    world.tick()
    zero = carla.Vector3D()
    commands = [
        COMMAND.ApplyVehicleControl(vehicle, carla.VehicleControl(brake=1.0)),
        COMMAND.ApplyVehicleAckermannControl(vehicle, carla.VehicleAckermannControl(speed=1.0)),
        COMMAND.ApplyWalkerControl(
            walker, carla.WalkerControl(carla.Vector3D(1, 0, 0), 1.0, False)
        ),
        COMMAND.ApplyVehiclePhysicsControl(vehicle, vehicle.get_physics_control()),
        COMMAND.ApplyTransform(vehicle, vehicle.get_transform()),
        COMMAND.ApplyWalkerState(walker, walker.get_transform(), 1.0),
        COMMAND.ApplyTargetVelocity(vehicle, zero),
        COMMAND.ApplyTargetAngularVelocity(vehicle, zero),
        COMMAND.ApplyImpulse(vehicle, zero),
        COMMAND.ApplyForce(vehicle, zero),
        COMMAND.ApplyAngularImpulse(vehicle, zero),
        COMMAND.ApplyTorque(vehicle, zero),
        COMMAND.SetSimulatePhysics(vehicle, True),
        COMMAND.SetEnableGravity(vehicle, True),
        COMMAND.SetVehicleLightState(vehicle.id, carla.VehicleLightState.Brake),
    ]
    answers = client.apply_batch_sync(commands, True)
    assert [answer.error for answer in answers] == [""] * len(commands)
    assert vehicle.get_light_state() == carla.VehicleLightState.Brake
    client.apply_batch([COMMAND.ApplyVehicleControl(vehicle, carla.VehicleControl(brake=0.5))])
    world.tick()
    assert vehicle.get_control().brake == pytest.approx(0.5)


def test_actors_are_found_by_id(world, model3, points):
    vehicle = world.spawn_actor(model3, points[0])
    world.tick()
    assert world.get_actor(vehicle.id).type_id == vehicle.type_id
    assert [actor.id for actor in world.get_actors([vehicle.id])] == [vehicle.id]
    assert world.get_actor(123456) is None


def test_a_strange_attribute_is_an_error_of_that_spawn_only(world, points):
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", "100000")
    with pytest.raises(RuntimeError, match="100000"):
        world.spawn_actor(blueprint, points[0])

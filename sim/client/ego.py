"""The ego vehicle with its camera and event sensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import carla
import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import SimulatorLostError, UserError
from bicameral.types import CameraSpec, Control, Observation, Pose
from sim.client.connection import simulator_errors
from sim.client.sensor_queue import SensorQueue
from sim.client.spawned import Spawned

#: CARIL's vehicle; 70 degrees of steering at the front wheels at most.
EGO_BLUEPRINT = "vehicle.tesla.model3"

#: Vehicles are put down this far above the road and drop onto it, as CARLA's own spawn points do.
SPAWN_LIFT_M = 0.5

#: The leaderboard's limit for late sensor data is 10 s (leaderboard/envs/sensor_interface.py); a
#: software renderer on a busy machine gets more.
SENSOR_TIMEOUT_S = 60.0

#: A camera behind and above the vehicle, for videos.
CHASE_CAMERA = CameraSpec(width=320, height=180, fov_deg=90.0, x_m=-6.5, z_m=3.2, pitch_deg=-12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountError:
    """How far a camera is from where its `CameraSpec` says, as its owner may not know.

    Attributes:
        y_m: To the right.
        pitch_deg: Upwards.
        yaw_deg: To the right.
    """

    y_m: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0


#: A camera that is where it should be.
MOUNTED_RIGHT = MountError()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSetup:
    """How the agent's camera is run, beyond what the agent knows of it.

    Attributes:
        error: How far it is from where it should be.
        interval_s: Simulated time from one picture to the next; 0 for one per tick.
        pace: The agent's second camera, for its pace, which is run alike; or None.
    """

    error: MountError = MOUNTED_RIGHT
    interval_s: float = 0.0
    pace: CameraSpec | None = None


#: A picture per tick, from where the camera should be.
ORDINARY_SETUP = CameraSetup()

#: Videos need no more pictures than this.
_CHASE_SETUP = CameraSetup(interval_s=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Something was touched in one frame.

    Attributes:
        frame: Simulator frame.
        other: Type of the other actor, e.g. ``"static.building"``.
        other_id: Its number; 0 for a part of the map.
        impulse_ns: Size of the impulse in newton seconds.
    """

    frame: int
    other: str
    other_id: int
    impulse_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneInvasion:
    """One or more lane markings were crossed in one frame.

    Attributes:
        frame: Simulator frame.
        markings: Kinds of the markings, e.g. ``("Broken",)``.
    """

    frame: int
    markings: tuple[str, ...]


class Ego(Spawned):
    """A vehicle in the world with what an agent needs: camera, pose, speed, and event sensors.

    Use it as a context manager: leaving the block destroys everything it spawned. After
    construction the world must be ticked once before `observe`.
    """

    def __init__(
        self,
        world: carla.World,
        pose: Pose,
        *,
        camera: CameraSpec | None,
        camera_setup: CameraSetup = ORDINARY_SETUP,
        chase_camera: CameraSpec | None = None,
    ) -> None:
        """Spawn the vehicle and its sensors.

        Args:
            world: A world in synchronous mode.
            pose: Where to put it, on the road; it is lifted by `SPAWN_LIFT_M` and drops.
            camera: The agent's camera, or None.
            camera_setup: How that camera is run, and whether there is one for the pace.
            chase_camera: Another camera, for videos, or None.

        Raises:
            UserError: If the place is occupied.
            SimulatorLostError: If the simulator does not answer.
        """
        self._world = world
        self._actors: list[Any] = []
        self.collisions: list[Collision] = []
        self.lane_invasions: list[LaneInvasion] = []
        try:
            with simulator_errors("spawning the ego vehicle"):
                self.vehicle = self._spawn_vehicle(pose)
                self._camera = self._spawn_camera(camera, "agent camera", camera_setup)
                self._pace = self._spawn_camera(camera_setup.pace, "pace camera", camera_setup)
                self._chase = self._spawn_camera(chase_camera, "chase camera", _CHASE_SETUP)
                self._spawn_sensor("sensor.other.collision", {}, None, self._on_collision)
                self._spawn_sensor("sensor.other.lane_invasion", {}, None, self._on_lane_invasion)
        except BaseException:
            self.destroy()
            raise

    def apply(self, control: Control) -> None:
        """Send a control; it takes effect in the next tick.

        Raises:
            ValueError: If a value is not a finite number, which would reach the physics.
        """
        if not all(map(math.isfinite, (control.throttle, control.steer, control.brake))):
            raise ValueError(f"a control must be finite, got {control}")
        self.vehicle.apply_control(
            carla.VehicleControl(
                throttle=min(max(control.throttle, 0.0), 1.0),
                steer=min(max(control.steer, -1.0), 1.0),
                brake=min(max(control.brake, 0.0), 1.0),
            )
        )

    def observe(self, frame: int, time_s: float, *, with_image: bool = True) -> Observation:
        """Return what the agent sees at this frame.

        Args:
            frame: The frame of the tick that has just been made.
            time_s: Simulated time to stamp on it.
            with_image: False where no picture is due, or none is wanted.

        Raises:
            SimulatorLostError: If the picture of exactly this frame does not arrive, or the world
                has another frame.
        """
        snapshot = self._world.get_snapshot()
        state = snapshot.find(self.vehicle.id)
        if snapshot.frame != frame or state is None:
            raise SimulatorLostError(
                f"expected the ego vehicle in frame {frame}, but the world is at frame "
                f"{snapshot.frame}; another client ticks or reloads this server"
            )
        transform, velocity = state.get_transform(), state.get_velocity()
        forward = transform.get_forward_vector()
        speed_mps = velocity.x * forward.x + velocity.y * forward.y + velocity.z * forward.z
        image, pace_image = (
            _rgb_from_image(camera.get(frame, SENSOR_TIMEOUT_S)) if camera and with_image else None
            for camera in (self._camera, self._pace)
        )
        return Observation(
            frame=frame,
            time_s=time_s,
            image=image,
            pose=_pose_from_transform(transform),
            speed_mps=float(speed_mps),
            pace_image=pace_image,
        )

    def chase_image(self) -> NDArray[np.uint8]:
        """Return the newest picture of the chase camera, (H, W, 3) uint8 RGB.

        Raises:
            ValueError: If there is no chase camera.
            SimulatorLostError: If no picture arrives.
        """
        if self._chase is None:
            raise ValueError("this ego vehicle was spawned without a chase camera")
        return _rgb_from_image(self._chase.newest(SENSOR_TIMEOUT_S))

    def destroy(self, *, reachable: bool = True) -> None:
        """Stop and remove the sensors and the vehicle."""
        actors, self._actors = self._actors, []
        for actor in reversed(actors):
            try:
                if isinstance(actor, carla.Sensor) and actor.is_listening():
                    actor.stop()
                if reachable:
                    actor.destroy()
            except RuntimeError:  # the simulator is gone, and the actor with it
                return

    def _spawn_vehicle(self, pose: Pose) -> Any:
        blueprint = self._world.get_blueprint_library().find(EGO_BLUEPRINT)
        blueprint.set_attribute("role_name", "hero")
        place = transform_from_pose(pose, SPAWN_LIFT_M)
        vehicle = self._world.try_spawn_actor(blueprint, place)
        if vehicle is None:
            raise UserError(
                f"cannot put the ego vehicle at x={pose.x_m:.2f} y={pose.y_m:.2f} "
                f"z={pose.z_m:.2f}: the place is occupied; start the route somewhere else"
            )
        self._actors.append(vehicle)
        return vehicle

    def _spawn_camera(
        self, camera: CameraSpec | None, name: str, setup: CameraSetup
    ) -> SensorQueue | None:
        if camera is None:
            return None
        frames = SensorQueue(name)
        attributes = {
            "image_size_x": str(camera.width),
            "image_size_y": str(camera.height),
            "fov": str(camera.fov_deg),
            "sensor_tick": str(setup.interval_s),
        }
        error = setup.error
        mount = carla.Transform(
            carla.Location(x=camera.x_m, y=error.y_m, z=camera.z_m),
            carla.Rotation(pitch=camera.pitch_deg + error.pitch_deg, yaw=error.yaw_deg),
        )
        self._spawn_sensor("sensor.camera.rgb", attributes, mount, frames.put)
        return frames

    def _spawn_sensor(
        self,
        type_id: str,
        attributes: dict[str, str],
        mount: carla.Transform | None,
        callback: Callable[[Any], None],
    ) -> None:
        blueprint = self._world.get_blueprint_library().find(type_id)
        for key, value in attributes.items():
            blueprint.set_attribute(key, value)
        sensor = self._world.spawn_actor(
            blueprint, mount or carla.Transform(), attach_to=self.vehicle
        )
        self._actors.append(sensor)
        sensor.listen(callback)

    def _on_collision(self, event: Any) -> None:
        impulse = event.normal_impulse
        other = event.other_actor
        self.collisions.append(
            Collision(
                frame=int(event.frame),
                other="static.unknown" if other is None else str(other.type_id),
                other_id=0 if other is None else int(other.id),
                impulse_ns=math.sqrt(impulse.x**2 + impulse.y**2 + impulse.z**2),
            )
        )

    def _on_lane_invasion(self, event: Any) -> None:
        markings = tuple(str(marking.type) for marking in event.crossed_lane_markings)
        self.lane_invasions.append(LaneInvasion(frame=int(event.frame), markings=markings))


def transform_from_pose(pose: Pose, lift_m: float = 0.0) -> carla.Transform:
    """Return a pose for the client, so much higher."""
    return carla.Transform(
        carla.Location(x=pose.x_m, y=pose.y_m, z=pose.z_m + lift_m),
        carla.Rotation(
            pitch=math.degrees(pose.pitch_rad),
            yaw=math.degrees(pose.yaw_rad),
            roll=math.degrees(pose.roll_rad),
        ),
    )


def _pose_from_transform(transform: carla.Transform) -> Pose:
    location, rotation = transform.location, transform.rotation
    return Pose(
        x_m=float(location.x),
        y_m=float(location.y),
        z_m=float(location.z),
        pitch_rad=math.radians(rotation.pitch),
        yaw_rad=math.radians(rotation.yaw),
        roll_rad=math.radians(rotation.roll),
    )


def _rgb_from_image(image: carla.Image) -> NDArray[np.uint8]:
    bgra = np.frombuffer(image.raw_data, dtype=np.uint8).reshape(image.height, image.width, 4)
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), np.uint8)

"""Attributes of every sensor of CARLA 0.9.16, with its defaults.

Names and defaults follow CARLA's blueprint library documentation and its sensor reference. Sensors
that this simulator does not simulate are listed as well: scripts look them up without asking.
"""

from __future__ import annotations

from sim.pocket.blueprints.attributes import Attribute, AttributeType, variation

_BOOL, _INT, _FLOAT, _STRING = (
    AttributeType.BOOL,
    AttributeType.INT,
    AttributeType.FLOAT,
    AttributeType.STRING,
)


def _floats(**defaults: str) -> tuple[Attribute, ...]:
    """Return float attributes by name."""
    return tuple(variation(name, _FLOAT, value) for name, value in defaults.items())


_ROLE = variation(
    "role_name",
    _STRING,
    "front",
    "back",
    "left",
    "right",
    "front_left",
    "front_right",
    "back_left",
    "back_right",
)
_PLAIN_ROLE = variation("role_name", _STRING, "default")
_TICK = variation("sensor_tick", _FLOAT, "0.0")
_NOISE_SEED = variation("noise_seed", _INT, "0")

#: Of every camera: the glass before it.
LENS = _floats(
    lens_circle_falloff="5.0",
    lens_circle_multiplier="0.0",
    lens_k="-1.0",
    lens_kcube="0.0",
    lens_x_size="0.08",
    lens_y_size="0.08",
)
_CAMERA = (
    _ROLE,
    _TICK,
    variation("image_size_x", _INT, "800"),
    variation("image_size_y", _INT, "600"),
    *_floats(fov="90.0"),
    *LENS,
)
#: Of cameras that show colours: exposure and what is done to the picture.
POSTPROCESS = (
    variation("enable_postprocess_effects", _BOOL, "true"),
    variation("exposure_mode", _STRING, "histogram", "manual", restricted=True),
    variation("blade_count", _INT, "5"),
    *_floats(
        exposure_compensation="0.0",
        exposure_min_bright="10.0",
        exposure_max_bright="12.0",
        exposure_speed_up="3.0",
        exposure_speed_down="1.0",
        calibration_constant="16.0",
        shutter_speed="200.0",
        iso="100.0",
        fstop="1.4",
        min_fstop="1.2",
        focal_distance="1000.0",
        blur_amount="1.0",
        blur_radius="0.0",
        gamma="2.2",
        bloom_intensity="0.675",
        lens_flare_intensity="0.1",
        motion_blur_intensity="0.45",
        motion_blur_max_distortion="0.35",
        motion_blur_min_object_screen_size="0.1",
        slope="0.88",
        toe="0.55",
        shoulder="0.26",
        black_clip="0.0",
        white_clip="0.04",
        temp="6500.0",
        tint="0.0",
        chromatic_aberration_intensity="0.0",
        chromatic_aberration_offset="0.0",
    ),
)
_EVENTS = (
    *_floats(
        positive_threshold="0.3",
        negative_threshold="0.3",
        sigma_positive_threshold="0.0",
        sigma_negative_threshold="0.0",
        log_eps="0.001",
    ),
    variation("refractory_period_ns", _INT, "0"),
    variation("use_log", _BOOL, "true"),
)
_LIDAR = (
    _ROLE,
    _TICK,
    variation("channels", _INT, "32"),
    variation("points_per_second", _INT, "56000"),
    *_floats(
        range="10.0",
        rotation_frequency="10.0",
        upper_fov="10.0",
        lower_fov="-30.0",
        horizontal_fov="360.0",
    ),
)
_LIDAR_WEATHER = (
    *_floats(
        atmosphere_attenuation_rate="0.004",
        dropoff_general_rate="0.45",
        dropoff_intensity_limit="0.8",
        dropoff_zero_intensity="0.4",
        noise_stddev="0.0",
    ),
    _NOISE_SEED,
)
_GNSS_NOISE = _floats(
    noise_lat_bias="0.0",
    noise_lat_stddev="0.0",
    noise_lon_bias="0.0",
    noise_lon_stddev="0.0",
    noise_alt_bias="0.0",
    noise_alt_stddev="0.0",
)
_ACCELEROMETER_NOISE = _floats(
    noise_accel_stddev_x="0.0", noise_accel_stddev_y="0.0", noise_accel_stddev_z="0.0"
)
_RADIO = (
    _PLAIN_ROLE,
    _TICK,
    _NOISE_SEED,
    variation("scenario", _STRING, "highway", "urban", "rural", restricted=True),
    variation("path_loss_model", _STRING, "geometric", "winner", restricted=True),
    variation("use_etsi_fading", _BOOL, "true"),
    *_floats(
        transmit_power="21.5",
        receiver_sensitivity="-99.0",
        frequency_ghz="5.9",
        combined_antenna_gain="10.0",
        path_loss_exponent="2.7",
        d_ref="1.0",
        filter_distance="500.0",
        custom_fading_stddev="0.0",
    ),
)

#: Attributes by sensor id, in the order of the library.
SENSOR_ATTRIBUTES: dict[str, tuple[Attribute, ...]] = {
    "sensor.camera.rgb": (*_CAMERA, *POSTPROCESS),
    "sensor.camera.depth": _CAMERA,
    "sensor.camera.semantic_segmentation": _CAMERA,
    "sensor.camera.instance_segmentation": _CAMERA,
    "sensor.camera.normals": _CAMERA,
    "sensor.camera.optical_flow": _CAMERA,
    "sensor.camera.dvs": (*_CAMERA, *POSTPROCESS, *_EVENTS),
    "sensor.camera.cosmos_visualization": _CAMERA,
    "sensor.lidar.ray_cast": (*_LIDAR, *_LIDAR_WEATHER),
    "sensor.lidar.ray_cast_semantic": _LIDAR,
    "sensor.other.collision": (_PLAIN_ROLE,),
    "sensor.other.lane_invasion": (_PLAIN_ROLE,),
    "sensor.other.obstacle": (
        _ROLE,
        _TICK,
        *_floats(distance="5.0", hit_radius="0.5"),
        variation("only_dynamics", _BOOL, "false"),
        variation("debug_linetrace", _BOOL, "false"),
    ),
    "sensor.other.gnss": (_PLAIN_ROLE, _TICK, _NOISE_SEED, *_GNSS_NOISE),
    "sensor.other.imu": (
        _PLAIN_ROLE,
        _TICK,
        _NOISE_SEED,
        *_ACCELEROMETER_NOISE,
        *_floats(
            noise_gyro_stddev_x="0.0",
            noise_gyro_stddev_y="0.0",
            noise_gyro_stddev_z="0.0",
            noise_gyro_bias_x="0.0",
            noise_gyro_bias_y="0.0",
            noise_gyro_bias_z="0.0",
        ),
    ),
    "sensor.other.radar": (
        _ROLE,
        _TICK,
        _NOISE_SEED,
        variation("points_per_second", _INT, "1500"),
        *_floats(horizontal_fov="30.0", vertical_fov="30.0", range="100.0"),
    ),
    "sensor.other.rss": (_PLAIN_ROLE,),
    "sensor.other.v2x": (
        *_RADIO,
        *_GNSS_NOISE,
        *_ACCELEROMETER_NOISE,
        *_floats(
            gen_cam_min="0.1",
            gen_cam_max="1.0",
            noise_head_bias="0.0",
            noise_head_stddev="0.0",
            noise_vel_stddev_x="0.0",
            noise_yawrate_bias="0.0",
            noise_yawrate_stddev="0.0",
        ),
        variation("fixed_rate", _BOOL, "false"),
    ),
    "sensor.other.v2x_custom": _RADIO,
}

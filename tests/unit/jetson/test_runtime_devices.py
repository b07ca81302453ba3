"""The Jetson runtime's camera, watchdog, power sensor and streams."""

from __future__ import annotations

import io
import json
import math
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.jetson import bicameral_jetson as runtime
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.shipped import shipped_model
from tests.simulated_sensor import Layout, Ramp, SimulatedIna3221, SquareWave, Waveform

pytestmark = pytest.mark.unit

_RAIL = runtime.PowerRail
_IMAGE = runtime.ImageSpec(8, 8, "GRAY", None, False, 1 / 255, (0.0,), (1.0,), "stretch")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film of three frames, which ends as a camera does that is pulled out."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 16))
    for level in (10, 100, 200):
        writer.write(np.full((16, 32, 3), level, np.uint8))
    writer.release()
    return path


def test_a_camera_that_ends_is_opened_again(film: Path):
    waits_s: list[float] = []
    shots = runtime.shots_from_camera(str(film), _IMAGE, waits_s.append)
    seen = [next(shots) for _ in range(7)]
    assert [shot.name for shot in seen] == [f"frame {number}" for number in range(1, 8)]
    assert [round(float(shot.picture.mean()), -1) for shot in seen[:4]] == [10, 100, 200, 10]
    assert seen[0].picture.shape == (16, 32, 1)
    assert waits_s == [0.5, 0.5], "a camera that worked is not waited for long"


def test_the_time_between_attempts_doubles_up_to_a_quarter_of_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    class EnoughError(Exception):
        pass

    waits_s: list[float] = []

    def wait(seconds: float) -> None:
        waits_s.append(seconds)
        if len(waits_s) == 9:
            raise EnoughError

    with pytest.raises(EnoughError):
        next(runtime.shots_from_camera(str(tmp_path / "no_camera.avi"), _IMAGE, wait))
    assert waits_s == [0.5, 1, 2, 4, 8, 15, 15, 15, 15]
    assert "trying again in 15.0 s" in capsys.readouterr().err


class QueuedCamera:
    """A camera whose driver has queued ten frames, of levels 1 to 10, and which ends then."""

    def __init__(self) -> None:
        self.level = 0
        self.all_read = threading.Event()

    def read(self) -> tuple[bool, Any]:
        if self.level == 10:
            self.all_read.set()
            assert self.may_end.wait(180)
            return False, None
        self.level += 1
        return True, np.full((8, 8, 3), self.level, np.uint8)

    may_end = threading.Event()

    def release(self) -> None:
        """Hold nothing."""


def test_of_frames_that_a_driver_queued_the_newest_is_taken():
    camera = QueuedCamera()
    newest = runtime.NewestFrame(camera)
    assert camera.all_read.wait(180)
    arrived, frame = newest.read()
    assert arrived
    assert int(frame[0, 0, 0]) == 10
    camera.may_end.set()
    assert newest.read() == (False, None)


@pytest.mark.parametrize(
    ("source", "expected", "is_live"),
    [
        ("0", 0, True),
        ("/dev/video1", "/dev/video1", True),
        ("rtsp://gate/1", "rtsp://gate/1", True),
        ("csi", "sensor-id=1 !", False),
        ("csi", "flip-method=2 !", False),
        ("videotestsrc ! appsink", "videotestsrc ! appsink", False),
    ],
)
def test_a_camera_is_opened_as_asked_for(
    source: str, expected: object, is_live: bool, monkeypatch: pytest.MonkeyPatch
):
    opened: list[Any] = []

    class Camera:
        def __init__(self, where: object, kind: int) -> None:
            opened.append(where)

        def read(self) -> tuple[bool, Any]:
            return True, np.zeros((8, 8, 3), np.uint8)

    class Newest(runtime.NewestFrame):
        def __init__(self, capture: Any) -> None:
            opened.append("newest")
            self.read = capture.read

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(runtime, "NewestFrame", Newest)
    shot = next(runtime.shots_from_camera(source, _IMAGE, sensor=1, flip=2))
    assert shot.picture.shape == (8, 8, 1)
    assert opened[0] == expected or str(expected) in str(opened[0])
    assert ("newest" in opened) == is_live


def test_an_upside_down_second_camera_is_asked_for_on_the_command_line():
    words = ["classify", "--camera", "csi", "--sensor-id", "1", "--flip", "2"]
    options = runtime.parse_arguments(words)
    assert (options.sensor_id, options.flip) == (1, 2)


def test_an_answer_that_is_stuck_starves_the_watchdog(monkeypatch: pytest.MonkeyPatch):
    begun, release = threading.Event(), threading.Event()

    def ask(*_: object) -> dict[str, Any]:
        begun.set()
        assert release.wait(180)
        return {}

    sent: list[str] = []
    monkeypatch.setattr(runtime, "notify_systemd", sent.append)
    with runtime.Server(("127.0.0.1", 0), SimpleNamespace(image=_IMAGE), ask) as server:
        assert sent == ["READY=1"]
        server.service_actions()
        assert sent == ["READY=1", "WATCHDOG=1"]
        body = b"P5 1 1 255\n\0"
        asking = threading.Thread(target=server.answer, args=(body, {}))
        asking.start()
        assert begun.wait(180)
        server.service_actions()
        assert len(sent) == 3, "an answer that is on its way is no reason to starve it"
        monkeypatch.setattr(runtime, "STUCK_S", 0.0)
        server.service_actions()
        assert len(sent) == 3
        release.set()
        asking.join()
        server.service_actions()
        assert len(sent) == 4


def test_text_is_utf_8_whatever_the_locale_says():
    buffer = io.BytesIO()
    stream = runtime.utf8(io.TextIOWrapper(buffer, "ascii"))
    stream.write("Schnürschuh\n")
    assert buffer.getvalue() == "Schnürschuh\n".encode()
    already = io.TextIOWrapper(io.BytesIO(), "UTF-8")
    assert runtime.utf8(already) is already


class Playback:
    """Time that work spends, with a sensor that shows a waveform when it is read."""

    def __init__(self, sensor: SimulatedIna3221, wave: Waveform) -> None:
        self._sensor, self._wave = sensor, wave
        self.now_s = 0.0

    def rail(self, drivers: Path) -> runtime.PowerRail:
        """The runtime's own reader of the sensor's files."""
        playback = self

        class Played(_RAIL):
            def power_w(self) -> float:
                playback._sensor.show(playback._wave.power_w(playback.now_s))
                return super().power_w()

        return Played(drivers)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s

    def work(self) -> None:
        self.sleep(0.0043)


@pytest.mark.parametrize("layout", ["iio", "hwmon"])
@pytest.mark.parametrize(
    "wave",
    [
        SquareWave(low_w=2, high_w=6, period_s=0.7),
        SquareWave(low_w=1.5, high_w=9, period_s=3.1, duty=0.2),
        Ramp(low_w=2, high_w=8, period_s=1.9),
    ],
)
def test_the_energy_of_a_window_is_right_within_a_hundredth(
    layout: Layout, wave: Waveform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    playback = Playback(SimulatedIna3221(tmp_path, layout), wave)
    monkeypatch.setattr(runtime, "time", playback)
    rail = playback.rail(tmp_path / "sys/bus/i2c/drivers")
    window = runtime.measure_window(rail.power_w, playback.work, 10.0)
    truth_j = wave.energy_j(0.0, window["duration_s"])
    assert window["valid"], window["reason"]
    assert window["energy_j"] == pytest.approx(truth_j, rel=0.01)
    assert window["inferences"] == pytest.approx(window["duration_s"] / 0.0043, rel=0.01)


def test_windows_that_cannot_be_trusted_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sensor = SimulatedIna3221(tmp_path, "iio")
    stuck = Playback(sensor, SquareWave(low_w=3, high_w=3, period_s=1))
    monkeypatch.setattr(runtime, "time", stuck)
    rail = stuck.rail(tmp_path / "sys/bus/i2c/drivers")
    assert "stuck" in runtime.measure_window(rail.power_w, stuck.work, 10.0)["reason"]
    moving = Playback(sensor, Ramp(low_w=2, high_w=8, period_s=1.9))
    monkeypatch.setattr(runtime, "time", moving)
    rail = moving.rail(tmp_path / "sys/bus/i2c/drivers")
    assert "shorter" in runtime.measure_window(rail.power_w, moving.work, 2.0)["reason"]
    slow = runtime.measure_window(rail.power_w, lambda: moving.sleep(0.8), 10.0)
    assert "no reading" in slow["reason"]
    windows = [runtime.measure_window(rail.power_w, moving.work, 2.0)] * 5
    assert runtime.joules_per_inference(windows, 0.0) is None
    jumping = Playback(sensor, SquareWave(low_w=1, high_w=9, period_s=0.9))
    monkeypatch.setattr(runtime, "time", jumping)
    rail = jumping.rail(tmp_path / "sys/bus/i2c/drivers")
    rare = runtime.measure_window(rail.power_w, lambda: jumping.sleep(0.4), 20.0)
    assert "over 1 %" in rare["reason"]


def test_a_sensor_that_is_not_there_or_cannot_be_read_is_an_error(tmp_path: Path):
    drivers = tmp_path / "sys/bus/i2c/drivers"
    with pytest.raises(runtime.MachineError, match="no INA3221"):
        runtime.PowerRail(drivers)
    sensor = SimulatedIna3221(tmp_path, "iio")
    rail = runtime.PowerRail(drivers)
    sensor.power_file.write_text("none\n")
    with pytest.raises(runtime.MachineError, match="sudo"):
        rail.power_w()
    (sensor.folder / "rail_name_0").write_text("POM_5V_OUT\n")
    with pytest.raises(runtime.MachineError, match="POM_5V_GPU"):
        runtime.PowerRail(drivers)


def test_measure_reports_joules_above_idle_and_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """2 W at rest; each inference takes 40 ms and 6 W on average."""
    busy_until_s = [-1.0]

    class Load:
        def power_w(self, time_s: float) -> float:
            ripple = 0.2 * math.sin(40 * time_s)
            return (6.0 if time_s <= busy_until_s[0] else 2.0) + ripple

        def energy_j(self, begin_s: float, end_s: float) -> float:
            raise NotImplementedError

    playback = Playback(SimulatedIna3221(tmp_path, "iio"), Load())

    class Engine:
        def __init__(self, sidecar: object) -> None:
            pass

        def run(self, feeds: object) -> dict[str, Any]:
            busy_until_s[0] = playback.now_s + 0.04
            playback.sleep(0.04)
            return {"logits": np.zeros((1, 10), np.float32)}

    monkeypatch.setattr(runtime, "time", playback)
    drivers = tmp_path / "sys/bus/i2c/drivers"
    monkeypatch.setattr(runtime, "PowerRail", lambda: playback.rail(drivers))
    folder = tmp_path / "bundle"
    model = shipped_model("fashion_mnist_squeeze16_distilled")
    write_bundle(BundleRequest(model=model, target="jetson-nano"), folder)
    np.save(tmp_path / "black.npy", np.zeros((28, 28), np.uint8))
    words = ["--bundle", str(folder), "measure", str(tmp_path / "black.npy")]
    words += ["--idle", "10"]
    assert runtime.main(words, Engine) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rail"] == "POM_5V_IN"
    assert report["idle_w"] == pytest.approx(2.0, abs=0.1)
    assert report["gross"]["median_j"] == pytest.approx(6.0 * 0.04, rel=0.03)
    assert report["net"]["median_j"] == pytest.approx(4.0 * 0.04, rel=0.03)
    assert report["net"]["n"] == 5
    assert len(report["idle"]) == 2


def test_a_long_build_shows_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The child waits until the memory was looked at for the third time."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    looked: list[int] = []

    def memory_mib() -> tuple[int, int]:
        looked.append(1)
        if len(looked) == 3:
            gate.write_text("go on")
        return 700 - 100 * len(looked), 50

    monkeypatch.setattr(runtime, "memory_mib", memory_mib)
    runtime.run_watched(["cat", str(gate)], "net", every_s=0.01)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("net: ")]
    assert len(lines) >= 2
    assert "500 MiB free, 50 MiB of swap" in lines[0]


def test_a_build_that_the_kernel_killed_is_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtime, "memory_mib", lambda: (41, 0))
    with pytest.raises(
        runtime.MachineError, match=r"least seen free: 41 MiB.*swap.*--workspace 64"
    ):
        runtime.run_watched(["sh", "-c", "kill -9 $$"], "net")
    with pytest.raises(runtime.MachineError, match="failed"):
        runtime.run_watched(["false"], "net")

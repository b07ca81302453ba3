"""The panel that plays drives: it reads what `bicameral evaluate` writes."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import server
from agent.remote import RemoteAgent
from bicameral.types import Observation, Pose
from sim.evaluation.records import (
    CollisionRecord,
    EpisodeRecord,
    read_episode,
    read_route,
    write_episode,
    write_route,
)

SAMPLE = Path(server.__file__).parent / "page" / "sample_drive"


@pytest.fixture(scope="session")
def episode() -> EpisodeRecord:
    """The drive that ships with the page."""
    return read_episode(SAMPLE)


@pytest.fixture
def run(tmp_path: Path, episode: EpisodeRecord) -> Path:
    """A run of two episodes, as an evaluation leaves it: one with a video, one with a collision."""
    run = tmp_path / "run"
    (run / "episodes").mkdir(parents=True)
    (run / "routes").mkdir()
    write_route(run / "routes" / "a.npz", read_route(SAMPLE / "route.npz"))
    video = tmp_path / "video.webm"
    shutil.copy(SAMPLE / "video.webm", video)
    write_episode(run / "episodes" / "one", replace(episode, episode_id="one"), video)
    hit = CollisionRecord(frame=200, last_frame=201, other="static.building", impulse_ns=9.0)
    second = replace(episode, episode_id="two", weather="fog", collisions=(hit,))
    write_episode(run / "episodes" / "two", second)
    return run


@pytest.fixture
def drive(page: Page) -> Page:
    page.get_by_role("tab", name="Drive").click()
    return page


def at(page: Page, time_s: float) -> None:
    """Go to a moment with the slider, as the keyboard does."""
    page.get_by_label("Moment").fill(f"{time_s:.2f}")
    expect(page.locator(".time")).to_have_text(re.compile(rf"^{time_s:.1f} /"))


def test_the_sample_plays_with_its_video(drive, episode):
    drive.get_by_role("button", name="Play the sample").click()
    video = drive.locator(".screen video")
    end_s = f"{episode.trajectory.time_s[-1]:.1f}"
    expect(drive.locator(".time")).to_have_text(re.compile(rf"^([1-9]|\d\d)\.\d / {end_s} s$"))
    drive.get_by_role("button", name="Pause").click()
    shown = video.evaluate("video => video.currentTime")
    assert shown >= 0.9
    assert video.evaluate("video => video.videoWidth") == 320
    expect(drive.get_by_label("About this drive")).to_contain_text("Ridgeway")


def test_steering_confidence_and_branch_are_those_of_the_moment(drive, episode, run):
    drive.locator("#episode-folder").set_input_files(run)
    expect(drive.get_by_label("Episode", exact=True)).to_have_value("0")
    trajectory = episode.trajectory
    for tick in (100, 292, 500):
        at(drive, float(trajectory.time_s[tick]))
        expect(drive.locator(".ring-number")).to_have_text(f"{trajectory.confidence[tick]:.2f}")
        steer = f"{trajectory.steer[tick]:+.2f}".replace("-", "−")
        expect(drive.locator(".hud-wheel span")).to_have_text(f"steer {steer}")
        speed = drive.locator(".hud-speed").text_content()
        assert float(speed) == pytest.approx(3.6 * trajectory.speed_mps[tick], abs=0.51)
        branch = episode.branches[trajectory.branch[tick]].removeprefix("second_opinion_")
        expect(drive.locator(".branch")).to_have_text(branch.replace("_", " "), ignore_case=True)
        asked = drive.locator(".branch").get_attribute("data-asked") is not None
        assert asked == bool(trajectory.asked_b[tick])
        words = drive.get_by_label("Moment").get_attribute("aria-valuetext")
        assert f"{100 * trajectory.confidence[tick]:.0f} % confident" in words
        angle = re.search(r"rotate\((.+)\)", drive.locator(".wheel").get_attribute("transform"))
        assert np.sign(round(float(angle[1]), 1)) == np.sign(
            round(float(trajectory.steer[tick]), 3)
        )


def test_an_episode_without_video_plays_on_the_map(drive, run):
    drive.locator("#episode-folder").set_input_files(run)
    drive.get_by_label("Episode", exact=True).select_option("two")
    expect(drive.locator("#drive-said")).to_contain_text("it has no video")
    expect(drive.locator(".screen .route-map .road")).to_have_count(1)
    expect(drive.get_by_label("About this drive")).to_contain_text("static.building at 10.0 s")
    vehicle = drive.locator(".screen .vehicle")
    before = vehicle.get_attribute("cx")
    drive.get_by_label("Speed").select_option("4")
    drive.get_by_role("button", name="Play", exact=True).press("Enter")
    expect(drive.locator(".time")).to_have_text(re.compile(r"^([2-9]|\d\d)\.\d /"))
    drive.get_by_role("button", name="Pause").press("Enter")
    assert vehicle.get_attribute("cx") != before
    expect(drive.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_files_alone_are_enough(drive, run):
    folder = run / "episodes" / "one"
    names = ("episode.json", "trajectory.npz")
    drive.locator("#episode-files").set_input_files([folder / name for name in names])
    expect(drive.locator(".ring-number")).not_to_have_text("–")
    expect(drive.locator(".road")).to_have_count(0)


def cut_off(folder: Path) -> None:
    file = folder / "trajectory.npz"
    file.write_bytes(file.read_bytes()[:5000])


def lose_columns(folder: Path) -> None:
    with np.load(folder / "trajectory.npz") as stored:
        columns = {name: stored[name] for name in stored.files if name != "steer"}
    np.savez(folder / "trajectory.npz", **columns)


def become_newer(folder: Path) -> None:
    text = (folder / "episode.json").read_text()
    (folder / "episode.json").write_text(
        text.replace('"schema_version": 1', '"schema_version": 99')
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "trajectory.npz").unlink(), "expected episode.json and traject"),
        (cut_off, "no ZIP file"),
        (lose_columns, "no column steer"),
        (become_newer, "schema 99, this page reads 1"),
    ],
)
def test_what_is_no_episode_is_refused_with_the_reason(drive, run, damage, words):
    folder = run / "episodes" / "one"
    damage(folder)
    drive.locator("#episode-files").set_input_files(sorted(folder.iterdir()))
    expect(drive.get_by_role("alert")).to_contain_text(words)


@pytest.fixture
def drive_remotely(site, episode: EpisodeRecord) -> Iterator[Callable[[], Callable[[], None]]]:
    """Drive with the served agent along the sample's route; returns what ends it."""
    agent = RemoteAgent(f"{site.url}v1/drive/caril_a")
    over = threading.Event()
    route = read_route(SAMPLE / "route.npz")
    path = episode.trajectory
    camera = agent.camera
    # Grey above a dark road: something to see.
    image = np.full((camera.height, camera.width, 3), 160, np.uint8)
    image[camera.height // 2 :] = 60

    def go() -> None:
        agent.begin(route, 0)
        for tick in range(len(path)):
            if over.is_set():
                break
            pose = Pose(
                x_m=path.x_m[tick], y_m=path.y_m[tick], z_m=0.0,
                pitch_rad=0.0, yaw_rad=path.yaw_rad[tick], roll_rad=0.0,
            )  # fmt: skip
            agent.act(
                Observation(
                    frame=tick,
                    time_s=float(path.time_s[tick]),
                    image=image,
                    pose=pose,
                    speed_mps=float(path.speed_mps[tick]),
                )
            )
            over.wait(0.03)
        agent.close()

    thread = threading.Thread(target=go)

    def end() -> None:
        over.set()
        thread.join()

    def start() -> Callable[[], None]:
        thread.start()
        return end

    yield start
    over.set()
    if thread.ident is not None:
        thread.join()


def test_a_running_drive_is_watched(drive, site, drive_remotely):
    expect(drive.locator("#watch-command")).to_have_text(
        f"bicameral evaluate --agent {site.url}v1/drive/caril_a"
    )
    with drive.expect_request("**/v1/drive/caril_a/live"):
        drive.get_by_role("button", name="Watch").click()
    expect(drive.locator("#watch-said")).to_contain_text("Nobody drives with caril_a")
    end = drive_remotely()
    expect(drive.locator("#watch-said")).to_have_text("One drive goes on.")
    expect(drive.locator(".ring-number")).to_have_text(re.compile(r"^[01]\.\d\d$"))
    seen = drive.locator(".screen canvas")
    column = seen.evaluate(
        """canvas => [...canvas.getContext("2d").getImageData(9, 0, 1, canvas.height).data]
            .filter((_, place) => place % 4 === 0)"""
    )
    above, below = column[len(column) // 4], column[3 * len(column) // 4]
    assert above == pytest.approx(160, abs=12)
    assert below == pytest.approx(60, abs=12)
    expect(drive.locator(".confidence-line")).to_have_attribute("d", re.compile("L"))
    end()
    expect(drive.locator("#watch-said")).to_contain_text("is over")
    drive.get_by_role("button", name="Stop").click()
    expect(drive.get_by_role("button", name="Watch")).to_have_attribute("aria-pressed", "false")

"""Collecting on the pocket simulator: frame-exact, repeatable, resumable, with a DAgger driver."""

from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError
from sim.client.local_server import LocalServer
from sim.client.simulator import ServerChoice
from sim.client.traffic import TrafficDensity
from sim.collection.collect import CollectionRun, collect
from sim.collection.plan import CollectionPlan, Disturbances, RouteMix
from sim.collection.storage import TRAFFIC_COLUMNS, find_stored_episodes
from sim.evaluation.agents import AgentSpec

EXPERT = AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent")
SHORT = RouteMix(kinds=("left", "right"), per_episode=1, min_length_m=90.0, max_length_m=120.0)


@pytest.fixture(scope="module")
def run():
    with LocalServer() as server:
        yield CollectionRun(server=ServerChoice(host=server.host, port=server.port))


def plan_for(output: Path, **changes):
    settings = {"towns": ("Harbour",), "episodes": 2, "routes": SHORT} | changes
    return CollectionPlan(output=output, **settings)


def all_bytes(folder: Path):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def collected(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collected")
    collect(plan_for(folder), EXPERT, run=run)
    return folder


def test_every_row_has_its_picture_at_10_hz_and_its_label(collected):
    for episode in find_stored_episodes(collected):
        labels = episode.labels
        assert episode.frames.shape == (len(labels["frame"]), 160, 320, 3)
        assert len(labels["frame"]) > 50
        assert np.all(labels["frame"] % 2 == 0)
        assert np.median(np.diff(labels["frame"])) == 2
        assert np.all(labels["speed_mps"] >= 0.3)
        assert np.all(labels["expert_in_charge"])
        assert np.array_equal(
            labels["steer_expert"] != labels["steer_applied"], labels["perturbed"]
        )
        assert len(np.unique(episode.frames[::10].mean(axis=(1, 2, 3)))) > 5


def test_a_killed_collection_goes_on_and_ends_with_the_same_bytes(run, collected, tmp_path):
    class Killed(BaseException):
        pass

    def kill(progress):
        raise Killed

    with pytest.raises(Killed):
        collect(plan_for(tmp_path), EXPERT, run=run, on_progress=kill)
    (tmp_path / "Harbour" / "expert-clear-s0-001").mkdir()
    summary = collect(plan_for(tmp_path), EXPERT, run=run)
    assert (summary.episodes, summary.kept) == (2, 1)
    assert all_bytes(tmp_path) == all_bytes(collected)


def test_other_settings_in_the_same_folder_are_refused(run, collected):
    with pytest.raises(ConfigError, match="other disturbances"):
        collect(plan_for(collected, disturbances=Disturbances(share=0.0)), EXPERT, run=run)


TRAFFIC_EXPERT = AgentSpec(
    name="expert", correction="none", target="agent.traffic_expert:TrafficExpert"
)


def test_among_others_the_labels_say_how_fast_and_why_the_same_each_time(tmp_path):
    folders = tmp_path / "once", tmp_path / "again"
    for folder in folders:
        others = TrafficDensity(vehicles=6, walkers=2)
        collect(plan_for(folder, episodes=1, traffic=others), TRAFFIC_EXPERT)
    assert all_bytes(folders[0]) == all_bytes(folders[1])
    (episode,) = find_stored_episodes(folders[0])
    labels = episode.labels
    assert TRAFFIC_COLUMNS.keys() <= labels.keys()
    assert episode.record["settings"]["traffic"] == {"vehicles": 6, "walkers": 2}
    allowed, target = labels["allowed_speed_mps"], labels["target_speed_mps"]
    assert np.all((target <= allowed + 1e-4) | np.isnan(allowed))
    assert np.array_equal(labels["light"] == 0, np.isnan(labels["stop_line_m"]))


def test_scenes_are_pairs_of_pictures_of_states_that_chance_poses(run, tmp_path):
    folders = tmp_path / "once", tmp_path / "again"
    for folder in folders:
        others = TrafficDensity(vehicles=4, walkers=2)
        collect(plan_for(folder, episodes=1, traffic=others, scenes=12), TRAFFIC_EXPERT, run=run)
    assert all_bytes(folders[0]) == all_bytes(folders[1])
    (episode,) = find_stored_episodes(folders[0])
    labels = episode.labels
    assert episode.frames.shape == (24, 160, 320, 3)
    assert np.array_equal(np.diff(labels["frame"])[::2], np.full(12, 6))
    assert np.array_equal(labels["speed_mps"][::2], labels["speed_mps"][1::2])
    assert len(np.unique(labels["speed_mps"])) > 6
    driven = np.hypot(*(np.diff(labels[name])[::2] for name in ("x_m", "y_m")))
    assert driven == pytest.approx(0.3 * labels["speed_mps"][::2], abs=1e-3)
    assert np.isfinite(labels["allowed_speed_mps"]).any()
    pictures = episode.frames[1::2].reshape(12, -1)
    assert len({picture.tobytes() for picture in pictures}) == 12


VEERING = '''
from bicameral.types import Control, Decision


class Agent:
    """Turns right whatever it sees, as far as a bad agent would."""

    name, privileged, camera = "veers-right", False, None

    def begin(self, route, seed):
        pass

    def act(self, observation):
        assert observation.image is not None
        return Decision(control=Control(steer=0.1))

    def close(self):
        pass
'''


def test_a_bad_driver_is_labelled_and_rescued(run, tmp_path, monkeypatch):
    (tmp_path / "veering.py").write_text(VEERING)
    monkeypatch.syspath_prepend(tmp_path)
    driver = AgentSpec(name="veers", correction="none", target="veering:Agent")
    data = tmp_path / "data"
    collect(plan_for(data, episodes=1), EXPERT, driver, run=run)
    (episode,) = find_stored_episodes(data)
    assert episode.record["driver"] == "dagger:veers"
    labels = episode.labels
    rescued = labels["expert_in_charge"]
    assert 0.1 < rescued.mean() < 0.9
    assert labels["steer_applied"][~rescued] == pytest.approx(0.1)
    assert np.array_equal(labels["steer_applied"][rescued], labels["steer_expert"][rescued])
    assert labels["cross_track_m"].max() < 2.5
    assert labels["steer_expert"][labels["cross_track_m"] > 0.8].mean() < 0.0

"""The study of confidences: what is asked, what is left out, and what its figures say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError
from edge.path_model import PathModel
from models.caril.dataset import load_frames
from models.networks.path_classes import path_offsets
from studies.measurements import read_measurements
from studies.path_confidence import CANDIDATES, episodes_of, faulty, run, score_episode
from tests.path_network import peaked_logits, write_path_network
from tests.recorded_drives import write_episode


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train01 was trained on; of its episodes only one is held out."""
    folder = tmp_path_factory.mktemp("drives")
    write_episode(folder, "Train01", "seen", frames=6)
    write_episode(folder, "Train01", "held", split="validation", frames=6)
    write_episode(folder, "Abroad", "clear", split="test", frames=9)
    write_episode(folder, "Abroad", "night", split="test", frames=8, weather="night")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return (
        write_path_network(folder, "a", towns=["Train01"]),
        write_path_network(folder, "b", offsets=[0.3] * 5, logits=peaked_logits(7)),
    )


def test_what_was_trained_on_is_left_out(drives: Path, models: tuple[Path, Path]) -> None:
    network = PathModel.load(models[0])
    asked = [frames.episodes[frames.episode[0]] for frames in episodes_of([drives], network, None)]
    assert {one.episode_id for one in asked} == {"held", "clear", "night"}


def test_clear_frames_are_asked_about_again_with_a_faulty_camera(
    drives: Path, models: tuple[Path, Path]
) -> None:
    a, b = map(PathModel.load, models)
    frames = load_frames(drives, "test", weathers=["clear"])
    scored = score_episode(frames, a, b)
    assert [part.condition[0] for part in scored] == [
        *("clear", "pitch_up", "pitch_down", "yaw_right", "sideways", "patch")
    ]
    # The first frame has none before it.
    np.testing.assert_allclose(scored[0].error_m, -path_offsets(frames.ahead_m)[1:], atol=1e-6)
    by_name = dict(zip(CANDIDATES, scored[0].candidates.T, strict=True))
    assert by_name["A - B"] == pytest.approx(0.3)
    assert by_name["1 - p_max"] == pytest.approx(0.001, rel=0.01)
    assert by_name["change"] == pytest.approx(0.0)


@pytest.mark.parametrize("condition", ["yaw_right", "pitch_down", "sideways", "patch"])
def test_a_faulty_camera_shows_other_pictures(condition: str) -> None:
    images = np.random.default_rng(0).integers(90, 256, (2, 64, 160, 3), dtype=np.uint8)
    shown = faulty(images, condition, "Abroad/clear")
    assert shown.dtype == np.uint8
    same = (shown == images).mean()
    assert 0.8 < same < 0.9 if condition == "patch" else same < 0.3


def test_it_writes_figures_for_home_and_abroad(
    drives: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVES", str(drives))
    monkeypatch.setenv("PATH_MODELS", ":".join(map(str, models)))
    assert run(tmp_path, quick=True) in (0, 1)
    found = read_measurements(tmp_path / "path_confidence.csv")
    assert found["a", "home / clear", "wrong"].n == 5
    assert found["a", "abroad / all", "wrong"].n == 6 * 8 + 7
    assert found["a", "Abroad / night", "error 10 m"].value is not None
    # A network that always answers the same cannot tell.
    assert found["a", "abroad / all", "AUROC class std"].value == pytest.approx(0.5)


def test_it_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIVES", raising=False)
    with pytest.raises(ConfigError, match="recorded driving with the path ahead"):
        run(tmp_path, quick=False)

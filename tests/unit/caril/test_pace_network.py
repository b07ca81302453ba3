"""The network that learns how fast others and lights let one drive: labels, training, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bicameral.errors import DataError
from bicameral.types import LightState, RoadOption
from edge.agent_sidecar import PaceAgentSpec
from edge.pace_model import PaceModel, light_of
from edge.sidecar import read_sidecar
from models.caril.dataset import load_frames
from models.caril.export import ExportSettings, export
from models.caril.training import TrainingSettings, train
from models.networks.driver_trunk import NetworkSettings
from models.networks.pace_classes import FREE_MPS, LAMP_ROWS, PACE_IMAGE, pace_labels
from models.networks.pace_network import PaceNetwork
from tests.recorded_drives import write_episode

pytestmark = pytest.mark.unit

NONE = np.nan


def test_labels_say_how_fast_and_why_and_forget_what_is_out_of_the_picture() -> None:
    rows = [
        # allowed, lead: distance, speed; light, distance to its line
        (NONE, NONE, NONE, 0, NONE),
        (30.0, 25.0, 6.0, 3, 20.0),
        (0.0, 60.0, 3.0, 1, 12.0),
        (0.3, NONE, NONE, 1, 4.0),
        (7.0, NONE, NONE, 4, 10.0),
    ]
    labels = pace_labels(np.array(rows, np.float32))
    assert labels.speed_mps.tolist() == pytest.approx([FREE_MPS, FREE_MPS, 0.0, 0.3, 7.0])
    assert labels.speed_class.tolist() == [6, 6, 0, 0, 4]
    assert labels.light.tolist() == [0, 3, 1, 0, 0]
    assert labels.stop_line.tolist() == pytest.approx([1.0, 0.4, 0.24, 1.0, 1.0])
    assert labels.lead[:, 0].tolist() == pytest.approx([1.0, 0.5, 1.0, 1.0, 1.0])
    assert labels.lead[1, 1] == pytest.approx(0.5)
    assert np.isnan(labels.lead[[0, 2, 3, 4], 1]).all()


def test_it_is_small_and_looks_at_both_pictures() -> None:
    torch.manual_seed(0)
    network = PaceNetwork(NetworkSettings(variant="pace")).eval()
    assert sum(one.numel() for one in network.parameters()) < 2_000_000
    shape = (1, 3, PACE_IMAGE.height, PACE_IMAGE.width)
    now, before = torch.zeros(shape), torch.ones(shape)
    with torch.inference_mode():
        found = [network(now, one, torch.ones(1, 1), torch.eye(4)[:1])[2] for one in (now, before)]
    assert not torch.equal(*found)


def test_lights_are_told_by_the_upper_part_of_the_newer_picture_alone() -> None:
    torch.manual_seed(0)
    network = PaceNetwork(NetworkSettings(variant="pace")).eval()
    images = torch.zeros(4, 6, PACE_IMAGE.height, PACE_IMAGE.width)
    images[1, :3, LAMP_ROWS:] = 1.0
    images[2, 3:] = 1.0
    # A lamp of one pixel, on a picture that is otherwise all grey.
    images[3, 0, 40, 150] = 3.0
    with torch.inference_mode():
        *_, reasons = network.normalised(images, torch.ones(4, 1), torch.eye(4)[:1].repeat(4, 1))
    lights = reasons[:, 2:]
    assert torch.equal(lights[:1].repeat(2, 1), lights[1:3])
    assert not torch.equal(lights[0], lights[3])


@pytest.fixture(scope="module")
def among(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("among")
    for number in range(4):
        write_episode(folder, "Train01", f"e{number:03}", others=True)
    write_episode(folder, "Valley", "v", split="validation", others=True)
    return folder


def test_what_was_trained_is_exported_and_tells_red_from_free(among: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(
        data=(among,),
        output=tmp_path,
        steps=20,
        batch_size=16,
        variant="pace",
        augmentation="none",
    )
    result = train(settings)
    assert "red light nearer than 30 m" in result.fit.describe()
    written = export(ExportSettings(training=tmp_path, output=tmp_path, name="pace"))
    agent = read_sidecar(written.model).agent
    assert isinstance(agent, PaceAgentSpec)
    model = PaceModel.load(written.model)
    frames = load_frames(among, "train", spec=model.image)
    rows = np.arange(len(frames))
    answers = model.predict_batch(
        frames.gather(rows), frames.speed_mps, frames.command, frames.gather_earlier(rows)
    )
    red = frames.others[:, 3] == LightState.RED
    assert answers.probabilities[red, 0].mean() > 0.3 + answers.probabilities[~red, 0].mean()
    assert answers.speed_mps[red].mean() + 2.0 < answers.speed_mps[~red].mean()
    one = model.predict(
        frames.gather(rows[red][:1])[0], frames.gather(rows[red][:1])[0], 5.0, RoadOption.STRAIGHT
    )
    assert light_of(one) in (None, LightState.RED)
    model.close()


def test_the_earlier_picture_is_that_of_six_ticks_before(among: Path) -> None:
    frames = load_frames(among, "train", spec=PACE_IMAGE)
    first = frames.episode == 0
    assert frames.earlier[first][:6].tolist() == [0, 1, 2, 0, 1, 2]


def test_pictures_of_the_other_camera_are_refused(data: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(data=(data,), output=tmp_path, steps=1, variant="pace")
    with pytest.raises(DataError, match="recorded by another camera"):
        train(settings)

"""The heads of the study of fusions: what they compute, and that what drives computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edge.dual_head import DualHeadModel
from models.networks.steering_classes import STEERING_SCALE
from studies.driver_heads import WAYS, Bilinear, trunk_session, write_driver


def test_the_bilinear_sum_is_that_of_the_equation() -> None:
    torch.manual_seed(0)
    network = Bilinear().eval()
    seen, speed_mps, command = torch.rand(3, 48, 4, 10), torch.rand(3, 1), torch.eye(4)[:3]
    with torch.no_grad():
        first = network.seen(seen.flatten(1))
        second = network.state(torch.cat([command, speed_mps / 10.0], dim=1))
        votes = network.votes(torch.cat([first, second], dim=1))
        # Chunks of 32 numbers of the first stream and 8 of the second, for each of 12 outputs.
        weights = network.together.reshape(4, 32, 8, 12)
        said = torch.einsum(
            "nci,cijo,ncj->no", first.reshape(3, 4, 32), weights, second.reshape(3, 4, 8)
        )
        steer, logits = network(seen, speed_mps, command)
    torch.testing.assert_close(torch.cat([steer * STEERING_SCALE, logits], dim=1), votes + said)


def test_both_ways_have_as_many_weights_to_five_percent() -> None:
    counts = [sum(weight.numel() for weight in way().parameters()) for way in WAYS.values()]
    assert max(counts) <= 1.05 * min(counts)


def test_trunk_and_heads_drive_as_one_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Bilinear().eval()
    driver = DualHeadModel.load(write_driver(tmp_path, "driver", network))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (2, 64, 160, 3), dtype=np.uint8)
    speed_mps, command = np.array([3.0, 7.0], np.float32), np.array([1, 4], np.int8)
    answers = driver.predict_batch(pictures, speed_mps, command)
    state = (torch.tensor([[3.0], [7.0]]), torch.tensor([[0.0, 1, 0, 0], [1.0, 0, 0, 0]]))
    with torch.no_grad():
        steer, logits = network(torch.from_numpy(trunk_session()(pictures)), *state)
    np.testing.assert_allclose(answers.steer, steer[:, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(answers.logits, logits.numpy(), atol=1e-4)

"""Training of a pool: interrupted anywhere, side by side, with teachers."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError
from edge.loading import load_classifier
from edge.probabilities import softmax
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from models.classifiers.logits import PoolLogits, read_pool_logits
from models.classifiers.pool_training import PoolMember, PoolProgress, PoolSettings, train_pool
from models.classifiers.training import Recipe
from models.data.dataset import ImageDataset
from models.data.sources import load_dataset

MEMBERS = (PoolMember(architecture="residual8"), PoolMember(architecture="vgg12"))


@pytest.fixture(scope="module")
def idx_folder(synthetic_dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("idx")
    for prefix, part in (("train", synthetic_dataset.train), ("t10k", synthetic_dataset.test)):
        count, rows, columns, _ = part.images.shape
        head = struct.pack(">4i", 0x00000803, count, rows, columns)
        images = gzip.compress(head + part.images.tobytes(), mtime=0)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(images)
        labels = struct.pack(">2i", 0x00000801, count) + part.labels.astype(np.uint8).tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
    return folder


def settings(source: Path, output: Path, jobs: int = 1) -> PoolSettings:
    return PoolSettings(
        source=str(source),
        output=output,
        recipe=Recipe(epochs=2, batch_size=32),
        jobs=jobs,
        command="bicameral train cascade",
        limits="For tests.",
    )


def table(pool: PoolLogits) -> Sequence[tuple[str, int, bytes, bytes]]:
    return [
        (network.architecture, network.seed, network.validation.tobytes(), network.test.tobytes())
        for network in pool.networks
    ]


class KilledError(Exception):
    pass


def test_a_pool_interrupted_at_random_points_ends_with_the_same_table(
    idx_folder: Path, tmp_path: Path
) -> None:
    train_pool(settings(idx_folder, tmp_path / "whole"), MEMBERS)
    whole = table(read_pool_logits(tmp_path / "whole" / "logits"))
    rng = np.random.default_rng(5)
    interrupted = settings(idx_folder, tmp_path / "interrupted")
    interruptions = 0
    for _ in range(4):
        left = int(rng.integers(1, 12))

        def kill(_: PoolProgress) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KilledError

        try:
            train_pool(interrupted, MEMBERS, kill)
        except KilledError:
            interruptions += 1
    train_pool(interrupted, MEMBERS)
    assert interruptions >= 2
    assert table(read_pool_logits(interrupted.logits)) == whole
    side_by_side = settings(idx_folder, tmp_path / "jobs", jobs=2)
    train_pool(side_by_side, MEMBERS)
    assert table(read_pool_logits(side_by_side.logits)) == whole


def test_every_member_is_exported_with_a_sidecar_and_answers_as_its_logits_say(
    idx_folder: Path, tmp_path: Path
) -> None:
    pool = settings(idx_folder, tmp_path)
    train_pool(pool, MEMBERS)
    dataset = load_dataset(str(idx_folder))
    logits = {network.architecture: network for network in read_pool_logits(pool.logits).networks}
    for member in MEMBERS:
        path = pool.folder(member) / f"{member.name}.onnx"
        sidecar = read_sidecar(path)
        assert sidecar.labels == dataset.labels
        assert sidecar.training.data.sha256 == dataset.fingerprint
        assert sidecar.cost.macs == logits[member.network].macs > 0
        assert sidecar.cost.cpu_us == pytest.approx(logits[member.network].cpu_us, abs=0.1)
        assert sidecar.cost.cpu_us > 0
        answer = load_classifier(path).predict(dataset.test.images)
        expected = softmax(logits[member.network].test, sidecar.calibration.temperature)
        np.testing.assert_allclose(answer.probabilities, expected, atol=5e-3)


def test_a_student_waits_for_its_teacher_and_is_reported_under_its_own_name(
    idx_folder: Path, tmp_path: Path
) -> None:
    pool, teacher = settings(idx_folder, tmp_path), PoolMember(architecture="vgg12")
    student = PoolMember(
        architecture="residual8", seed=1, teachers=(pool.model(teacher),), epochs=3
    )
    finished: dict[str, int] = {}

    def record(progress: PoolProgress) -> None:
        if progress.step == progress.steps:
            finished[progress.name] = progress.steps

    train_pool(pool, [student, teacher], record)
    assert list(finished) == ["vgg12-s0", "residual8_distilled-s1"]
    assert 2 * finished["residual8_distilled-s1"] == 3 * finished["vgg12-s0"]
    trained = {
        (network.architecture, network.seed) for network in read_pool_logits(pool.logits).networks
    }
    assert trained == {("vgg12", 0), ("residual8_distilled", 1)}


def test_a_teacher_of_other_classes_is_refused(idx_folder: Path, tmp_path: Path) -> None:
    shipped = resolve_model("fashion_mnist_dual_branch")
    student = PoolMember(architecture="residual8", teachers=(shipped,))
    with pytest.raises(ConfigError, match="'fashion_mnist_dual_branch' cannot teach"):
        train_pool(settings(idx_folder, tmp_path), [student])

"""The benchmark's records follow from what ran: shares, multiply-accumulates, hits, samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.loading import load_classifier, member_sha256
from edge.sidecar import read_sidecar
from models.cascade.deployed import Deployed, load_deployed
from models.cascade.stream_bench import (
    Progress,
    StreamBenchSettings,
    measure_streams,
    sample_images,
)
from models.cascade.streams_results import ChangeRecord, StreamRecord
from models.classifiers.dataset import LabelledImages

pytestmark = pytest.mark.unit

SETTINGS = StreamBenchSettings(seed=4, reference_frames=30, timed_originals=6, rounds=2)
MACS = {"a": 100, "b": 300, "large": 2000}

Measured = tuple[tuple[StreamRecord, ...], tuple[ChangeRecord, ...]]


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Callable[..., Path],
    write_cascade: Callable[..., Path],
) -> Deployed:
    folder = tmp_path_factory.mktemp("model")
    members = {
        name: write_classifier(folder, name, seed=seed, cost={"macs": MACS[name]})
        for seed, name in ((3, "a"), (5, "b"), (7, "large"))
    }
    a, b = ((name, member_sha256(read_sidecar(members[name]))) for name in "ab")
    memory = {
        "key": "dhash_verified",
        "tolerance_mae_u8": 4.0,
        "max_entries": 1000,
        "max_age_s": None,
        "store_min_confidence": 0.6,
    }
    return load_deployed(
        write_cascade(folder, "pair", a, b, cascade={"threshold": 0.7, "memory": memory})
    )


@pytest.fixture(scope="module")
def images(pictures: np.ndarray) -> LabelledImages:
    return LabelledImages(images=pictures, labels=np.arange(len(pictures)) % 5)


@pytest.fixture(scope="module")
def measured(deployed: Deployed, images: LabelledImages) -> Measured:
    return measure_streams(deployed, images, SETTINGS)


def of(measured: Measured, stream: str) -> dict[str, StreamRecord]:
    return {record.system: record for record in measured[0] if record.stream == stream}


def test_every_system_is_measured_on_every_stream(measured: Measured) -> None:
    common = ["reference", "a", "pair", "pair+exact memory", "pair+memory", "pair+memory of all"]
    for stream in dict.fromkeys(record.stream for record in measured[0]):
        aligned = ["pair+aligned memory"] if "video" in stream else []
        assert list(of(measured, stream)) == [*common, *aligned, "pair+paper memory"]


def test_multiply_accumulates_are_those_of_the_networks_that_ran(measured: Measured) -> None:
    for record in measured[0]:
        if record.system == "reference":
            assert record.macs_ratio == 1.0
            continue
        expected = (record.share_a * MACS["a"] + record.share_b * MACS["b"]) / MACS["large"]
        assert record.macs_ratio == pytest.approx(expected)
        assert record.share_b <= record.share_a <= 1.0
        assert record.share_a == pytest.approx(1.0 - (record.hit_rate or 0.0))


def test_a_memory_of_everything_answers_every_exact_repeat_as_the_networks_would(
    measured: Measured,
) -> None:
    for stream in ("50 % appended", "100 % appended", "50 % interleaved", "100 % interleaved"):
        systems = of(measured, stream)
        every = systems["pair+memory of all"]
        assert every.repeat_hit_rate == 1.0
        assert every.wrong_hits == every.wrong_label_hits == 0
        assert every.accuracy == systems["pair"].accuracy
        assert every.share_b < systems["pair"].share_b


def test_no_result_below_the_sidecars_confidence_is_remembered(measured: Measured) -> None:
    systems = of(measured, "100 % appended")
    sure, every = systems["pair+memory"], systems["pair+memory of all"]
    assert 0 < (sure.repeat_hit_rate or 0) < (every.repeat_hit_rate or 0)
    assert systems["pair+exact memory"].repeat_hit_rate == sure.repeat_hit_rate


def test_single_networks_have_no_hits_and_unrepeated_streams_no_repeats(
    measured: Measured,
) -> None:
    systems = of(measured, "0 % appended")
    for name in ("reference", "a", "pair"):
        assert systems[name].hit_rate is systems[name].wrong_hits is None
    assert all(record.repeat_hit_rate is None for record in systems.values())
    assert systems["pair+exact memory"].hit_rate == 0.0


def test_the_reference_judges_all_originals_and_a_sample_of_changed_frames(
    measured: Measured, images: LabelledImages
) -> None:
    assert of(measured, "100 % appended")["reference"].n_judged == 2 * len(images)
    video = of(measured, "video")
    assert video["reference"].n_judged == SETTINGS.reference_frames
    assert video["pair"].n_judged == video["pair"].n_images == 7 * len(images)


def test_time_is_taken_on_shorter_streams_of_the_same_kind(measured: Measured) -> None:
    lengths = {record.stream: record.n_timed for record in measured[0]}
    assert (lengths["0 % appended"], lengths["50 % interleaved"], lengths["video"]) == (6, 9, 12)
    for record in measured[0]:
        assert record.cpu_us > 0
        ratio = record.cpu_ratio
        assert ratio.least <= ratio.median <= ratio.most
        if record.system == "reference":
            assert ratio.least == ratio.most == 1.0


def test_hits_by_change_add_up_to_the_repeated_hits(
    measured: Measured, images: LabelledImages
) -> None:
    for stream, length in (("video", 7), ("video with shifts", 3)):
        for system, record in of(measured, stream).items():
            changes = [c for c in measured[1] if (c.stream, c.system) == (stream, system)]
            if record.hit_rate is None:
                assert not changes
                continue
            assert len(changes) == length - 1
            assert all(change.n == len(images) for change in changes)
            total = sum(change.hits for change in changes)
            assert total == round((record.repeat_hit_rate or 0) * (length - 1) * len(images))
    assert not [change for change in measured[1] if "video" not in change.stream]


def test_only_alignment_finds_shifted_frames(measured: Measured) -> None:
    hits = {
        record.system: record.hits for record in measured[1] if record.change == "shift by 1 pixel"
    }
    assert hits["pair+exact memory"] == 0
    assert hits["pair+aligned memory"] > hits["pair+memory"]


def test_progress_never_goes_back_and_ends_at_its_total(
    deployed: Deployed, images: LabelledImages
) -> None:
    seen: list[tuple[int, int]] = []
    progress: Progress = lambda done, total, note: seen.append((done, total))  # noqa: E731
    measure_streams(deployed, images, SETTINGS, progress)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


def test_a_sample_is_in_order_without_repeats_and_no_larger_than_there_are_images(
    images: LabelledImages,
) -> None:
    positions = LabelledImages(images=images.images, labels=np.arange(len(images)))
    some = sample_images(positions, 10, seed=0).labels.tolist()
    assert some == sorted(set(some))
    assert len(some) == 10
    assert sample_images(positions, 1000, seed=0) is positions


def test_a_network_of_unknown_cost_is_refused(
    deployed: Deployed,
    images: LabelledImages,
    tmp_path: Path,
    write_classifier: Callable[..., Path],
) -> None:
    free = write_classifier(tmp_path, "free", seed=9, cost={"macs": 0})
    unknown = replace(deployed, reference=load_classifier(free))
    with pytest.raises(DataError, match="multiply-accumulates of 'free' are 0"):
        measure_streams(unknown, images, SETTINGS)

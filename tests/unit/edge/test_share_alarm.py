"""The alarm that pictures in service are of another kind than the validation images."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest

from edge.cascade import CascadeClassifier
from edge.cascade_sidecar import CascadeSpec, CascadeStage
from edge.loading import load_classifier
from edge.share_alarm import WINDOW, ShareAlarm, share_interval
from edge.shipped import shipped_model
from models.data.sources import FASHION_MNIST_FOLDER, load_dataset

pytestmark = pytest.mark.unit


def alarm_of(share: float, n: int = 10_000) -> ShareAlarm:
    spec = CascadeSpec(
        stages=(
            CascadeStage(name="a", sha256="0", threshold=0.5),
            CascadeStage(
                name="b", sha256="1", share=share, share_interval=share_interval(share, n)
            ),
        ),
        score="margin",
        combine="average",
    )
    return ShareAlarm("pair", ("a", "b"), spec)


def test_it_is_raised_and_ended_by_two_windows_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    alarm, counts, states = alarm_of(0.1), Counter[str](), []
    for asked in (100, 200, 100, 200, 200, 100, 200, 100, 100):
        counts.update(a=WINDOW - asked - 50, memory=50, b=asked)
        alarm.observe(counts)
        states.append(alarm.raised["b"])
    assert states == [False, False, False, False, True, True, True, True, False]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "stage b saw 20.0 % of the last images, on validation images 6." in caplog.text


def test_a_window_that_is_not_full_is_not_judged() -> None:
    alarm = alarm_of(0.1)
    for _ in range(50):
        alarm.observe({"a": 0, "b": WINDOW - 1})
    assert not alarm.raised["b"]


def test_images_like_the_validation_images_practically_never_raise_it() -> None:
    alarm, counts = alarm_of(0.1), Counter[str]()
    for asked in np.random.default_rng(0).binomial(WINDOW, 0.1, 2000).tolist():
        counts.update(a=WINDOW - asked, b=asked)
        alarm.observe(counts)
        assert not alarm.raised["b"]


@pytest.mark.skipif(not FASHION_MNIST_FOLDER.is_dir(), reason="needs FashionMNIST")
def test_mirrored_pictures_raise_it_and_clean_ones_do_not() -> None:
    dataset = load_dataset("fashion-mnist")
    cascade = load_classifier(shipped_model("fashion_mnist_cascade"), memory="none")
    assert isinstance(cascade, CascadeClassifier)

    def stages(images: np.ndarray) -> Counter[str]:
        return Counter(one.stage for one in cascade.predict(images).trace or ())

    validated = stages(dataset.validation.images[: 2 * WINDOW])
    alarm = alarm_of(1 - validated["a"] / (2 * WINDOW), 2 * WINDOW)
    counts = Counter[str]()
    for turned, expected in ((False, False), (True, True)):
        for start in (0, WINDOW):
            images = dataset.test.images[start : start + WINDOW]
            found = stages(np.ascontiguousarray(images[:, :, ::-1]) if turned else images)
            counts.update(a=found["a"], b=WINDOW - found["a"])
            alarm.observe(counts)
        assert alarm.raised["b"] == expected

"""The cascade on real networks: who answers, what is asked, and what is remembered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError, UserError
from bicameral.protocols import ClassifierSession, ModelInfo, ResultMemory
from bicameral.types import MemoryCounters, Prediction
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.classifier import OnnxClassifier
from edge.combination import COMBINATIONS
from edge.loading import load_classifier
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from edge.probabilities import SCORES, calibrated_probabilities
from edge.session import OnnxSession
from edge.sidecar import read_model_bytes, read_sidecar

pytestmark = pytest.mark.unit

Writer = Callable[..., Path]
HALF = CascadePolicy(score="margin", thresholds=(0.9,), combine="average")


class Recorder(OnnxClassifier):
    """A real classifier that notes the batches it was given."""

    batches: list[np.ndarray]

    def predict(self, images: np.ndarray) -> Prediction:
        self.batches = [*getattr(self, "batches", []), images.copy()]
        return super().predict(images)


class Notebook:
    """A result memory by exact content that notes its calls."""

    def __init__(self, least_confidence: float = 0.0) -> None:
        self.rows: dict[tuple[str, bytes], tuple[np.ndarray, np.float32]] = {}
        self.calls: list[tuple[str, int]] = []
        self._least_confidence = least_confidence

    def lookup(self, namespace: str, images: np.ndarray) -> list[Prediction | None]:
        self.calls.append(("lookup", len(images)))
        found = [self.rows.get((namespace, image.tobytes())) for image in images]
        return [
            Prediction(probabilities=row[0][None], confidence=np.array([row[1]])) if row else None
            for row in found
        ]

    def store(self, namespace: str, images: np.ndarray, results: Prediction) -> None:
        self.calls.append(("store", len(images)))
        for image, row, confidence in zip(
            images, results.probabilities, results.confidence, strict=True
        ):
            if confidence >= self._least_confidence:
                self.rows[namespace, image.tobytes()] = (row.copy(), confidence)

    def clear(self, namespace: str | None = None) -> None:
        self.rows = {key: row for key, row in self.rows.items() if namespace not in (None, key[0])}

    def counters(self) -> MemoryCounters:
        return MemoryCounters(entries=len(self.rows))


@pytest.fixture
def a(tmp_path: Path, write_classifier: Writer) -> ClassifierSession:
    return _recorder(write_classifier(tmp_path, "a", seed=3, calibration={"temperature": 2.0}))


@pytest.fixture
def b(tmp_path: Path, write_classifier: Writer) -> ClassifierSession:
    return _recorder(write_classifier(tmp_path, "b", seed=5, image={"mean": (0.5,)}))


def _recorder(path: Path) -> Recorder:
    sidecar = read_sidecar(path)
    return Recorder(sidecar, OnnxSession(read_model_bytes(path, sidecar), name=sidecar.name))


class Table:
    """A classifier that knows its answers by an image's first number: no batch rounds them."""

    def __init__(self, info: ModelInfo, rows: np.ndarray) -> None:
        labels = tuple(f"class {column}" for column in range(rows.shape[1]))
        self.info, self._rows = replace(info, labels=labels), rows

    def predict(self, images: np.ndarray) -> Prediction:
        probabilities = self._rows[images[:, 0, 0, 0]]
        return Prediction(probabilities=probabilities, confidence=probabilities.max(axis=1))


def _stages(prediction: Prediction) -> list[str]:
    assert prediction.trace is not None
    return [entry.stage for entry in prediction.trace]


def test_it_is_a_classifier_session_and_the_notebook_a_memory(a, b) -> None:
    assert isinstance(CascadeClassifier([a, b], HALF), ClassifierSession)
    assert isinstance(Notebook(), ResultMemory)


def test_it_answers_with_both_members_calibrated(a, b, pictures) -> None:
    full_a, full_b = (member.predict(pictures).probabilities for member in (a, b))
    for score in SCORES:
        scores_a, scores_b = SCORES[score](full_a), SCORES[score](full_b)
        for combination in COMBINATIONS:
            policy = CascadePolicy(score=score, thresholds=(0.8,), combine=combination)
            prediction = CascadeClassifier([a, b], policy).predict(pictures)
            below = scores_a < 0.8
            assert 5 < below.sum() < 43, "both ways are taken"
            both = COMBINATIONS[combination](full_a, full_b, scores_a, scores_b)
            expected = np.where(below[:, None], both, full_a)
            # B answers for another batch here, where ONNX Runtime may round otherwise.
            np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
            assert (prediction.confidence == prediction.probabilities.max(axis=1)).all()
            assert _stages(prediction) == ["b" if second else "a" for second in below]


def test_b_sees_only_the_images_of_which_a_is_unsure(a, b, pictures) -> None:
    scores = SCORES["margin"](a.predict(pictures).probabilities)
    CascadeClassifier([a, b], HALF).predict(pictures)
    (batch,) = b.batches
    assert (batch == pictures[scores < 0.9]).all()


def test_the_third_network_is_asked_where_the_first_two_together_are_unsure(
    a, b, pictures, tmp_path, write_classifier
) -> None:
    c = _recorder(write_classifier(tmp_path, "c", seed=4))
    policy = CascadePolicy(score="margin", thresholds=(0.9, 0.3), combine="average")
    cascade = CascadeClassifier([a, b, c], policy)
    prediction = cascade.predict(pictures)
    pa, pb, pc = (one.predict(pictures).probabilities for one in (a, b, c))
    below_a = SCORES["margin"](pa) < 0.9
    below_b = below_a & (SCORES["margin"]((pa + pb) / 2) < 0.3)
    assert 5 < below_b.sum() < below_a.sum() < 43, "all three ways are taken"
    expected = np.where(below_a[:, None], (pa + pb) / 2, pa)
    expected = np.where(below_b[:, None], (expected + pc) / 2, expected)
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    stages = ["c" if third else "b" if second else "a"
              for second, third in zip(below_a, below_b, strict=True)]  # fmt: skip
    assert _stages(prediction) == stages
    for entry in prediction.trace or ():
        assert list(entry.stage_times_s) == list("abc")[: 1 + "abc".index(entry.stage)]
    assert (b.batches[0] == pictures[below_a]).all()
    assert (c.batches[0] == pictures[below_b]).all()


@pytest.mark.parametrize("classes", [2, 10, 40])
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("score", SCORES)
def test_an_image_alone_gets_the_bits_that_it_gets_in_a_batch(
    a, pictures, score, combination, classes
) -> None:
    rng = np.random.default_rng(7)
    images = np.zeros((200, *pictures.shape[1:]), np.uint8)
    images[:, 0, 0, 0] = range(200)
    # Tenths, so that some of the largest are alike.
    logits = rng.normal(0, 3, (3, 200, classes)).round(1)
    members = [Table(a.info, calibrated_probabilities(one, 1.5)) for one in logits]
    first, second = (one.predict(images).probabilities for one in members[:2])
    scores = SCORES[score](first), SCORES[score](second)
    both = SCORES[score](COMBINATIONS[combination](first, second, *scores))
    # Both thresholds are the very score of some image, which does not go on.
    threshold = float(np.sort(scores[0])[120])
    below = np.sort(both[scores[0] < threshold])
    policy = CascadePolicy(
        score=score, thresholds=(threshold, float(below[len(below) // 2])), combine=combination
    )
    cascade = CascadeClassifier(members, policy)
    together = cascade.predict(images)
    alone = [cascade.predict(images[row : row + 1]) for row in range(200)]
    assert set(_stages(together)) == {"a", "b", "c"}
    for name in ("probabilities", "confidence"):
        rows = np.concatenate([getattr(one, name) for one in alone])
        assert rows.tobytes() == getattr(together, name).tobytes()
    ways = [(one.stage, one.confidence_a) for one in together.trace or ()]
    assert [(one.stage, one.confidence_a) for (one,) in (way.trace for way in alone)] == ways


def test_the_work_until_each_stage_is_known_if_that_of_all_before_is(a, b) -> None:
    cascade = CascadeClassifier([a, b], HALF)
    assert cascade.macs_by_stage() == {"a": a.info.macs, "b": a.info.macs + b.info.macs}


@pytest.mark.parametrize(("networks", "thresholds"), [(2, ()), (2, (0.5, 0.5)), (1, (0.5, 0.5))])
def test_thresholds_must_fit_the_networks(a, b, networks, thresholds) -> None:
    policy = CascadePolicy(score="margin", thresholds=thresholds, combine="average")
    with pytest.raises(DataError, match=f"{networks} networks with {len(thresholds)} thresholds"):
        CascadeClassifier([a, b][:networks], policy)


def test_the_trace_tells_the_compared_score_and_the_times(a, b, pictures) -> None:
    trace = CascadeClassifier([a, b], HALF).predict(pictures).trace
    assert trace is not None
    assert len(trace) == len(pictures)
    for entry in trace:
        assert not entry.memory_hit
        assert (entry.confidence_a < 0.9) == (entry.stage == "b")
        assert list(entry.stage_times_s) == (["a", "b"] if entry.stage == "b" else ["a"])
        assert all(share > 0 for share in entry.stage_times_s.values())


@pytest.mark.parametrize(("threshold", "stage"), [(0.0, "a"), (1.01, "b")])
def test_thresholds_at_the_ends_never_and_always_ask_b(a, b, pictures, threshold, stage) -> None:
    policy = CascadePolicy(score="margin", thresholds=(threshold,), combine="replace")
    prediction = CascadeClassifier([a, b], policy).predict(pictures)
    assert set(_stages(prediction)) == {stage}
    assert len(getattr(b, "batches", [])) == (stage == "b")
    alone = (a if stage == "a" else b).predict(pictures)
    assert (prediction.probabilities == alone.probabilities).all()
    assert (prediction.confidence == alone.confidence).all()


def test_no_images_run_no_network(a, b, pictures) -> None:
    for memory in (None, Notebook()):
        prediction = CascadeClassifier([a, b], HALF, memory=memory).predict(pictures[:0])
        assert prediction.probabilities.shape == (0, 5)
        assert prediction.trace == ()
        assert memory is None or not memory.calls


def test_a_batch_is_looked_up_then_computed_then_stored_in_order(a, b, pictures) -> None:
    memory = Notebook()
    cascade = CascadeClassifier([a, b], HALF, memory=memory)
    first = cascade.predict(pictures[:10])
    second = cascade.predict(pictures[5:20])
    assert memory.calls == [("lookup", 10), ("store", 10), ("lookup", 15), ("store", 10)]
    assert (a.batches[1] == pictures[10:20]).all()
    assert _stages(second)[:5] == ["memory"] * 5
    assert "memory" not in _stages(second)[5:]
    assert (second.probabilities[:5] == first.probabilities[5:]).all()
    assert (second.confidence[:5] == first.confidence[5:]).all()
    keys = [image for _, image in memory.rows]
    assert keys == [image.tobytes() for image in pictures[:20]]


def test_hits_say_so_and_run_no_network(a, b, pictures) -> None:
    cascade = CascadeClassifier([a, b], HALF, memory=(memory := Notebook()))
    computed = cascade.predict(pictures)
    runs = len(a.batches), len(b.batches)
    recalled = cascade.predict(pictures)
    assert (len(a.batches), len(b.batches)) == runs
    assert (recalled.probabilities == computed.probabilities).all()
    assert memory.calls[-1] == ("lookup", len(pictures)), "nothing was computed, nothing is stored"
    assert recalled.trace is not None
    assert all(entry.memory_hit and entry.confidence_a is None for entry in recalled.trace)
    assert {tuple(entry.stage_times_s) for entry in recalled.trace} == {("memory",)}
    assert computed.trace is not None
    assert {next(iter(entry.stage_times_s)) for entry in computed.trace} == {"memory"}


def test_hits_and_misses_keep_their_places(a, b, pictures) -> None:
    cascade = CascadeClassifier([a, b], HALF, memory=Notebook(least_confidence=0.95))
    first = cascade.predict(pictures)
    second = cascade.predict(pictures)
    assert _stages(second) == [
        "memory" if confidence >= 0.95 else stage
        for confidence, stage in zip(first.confidence, _stages(first), strict=True)
    ]
    assert 0 < _stages(second).count("memory") < len(pictures)
    np.testing.assert_allclose(second.probabilities, first.probabilities, atol=1e-6)


def test_two_cascades_do_not_read_each_others_results(a, b, pictures) -> None:
    memory = Notebook()
    CascadeClassifier([a, b], HALF, memory=memory).predict(pictures)
    other = CascadePolicy(score="margin", thresholds=(0.91,), combine="average")
    stages = _stages(CascadeClassifier([a, b], other, memory=memory).predict(pictures))
    assert "memory" not in stages


def test_a_cascade_can_be_a_member(a, b, pictures, tmp_path, write_classifier) -> None:
    c = _recorder(write_classifier(tmp_path, "c", seed=4))
    inner = CascadeClassifier([a, b], HALF)
    outer = CascadeClassifier(
        [inner, c], CascadePolicy(score="max_probability", thresholds=(0.7,), combine="replace")
    )
    prediction = outer.predict(pictures)
    confidence = inner.predict(pictures).confidence
    assert 0 < len(c.batches[0]) < len(pictures)
    assert _stages(prediction) == ["b" if value < 0.7 else "a" for value in confidence]


def test_wrong_images_are_refused_before_the_memory_sees_them(a, b) -> None:
    memory = Notebook()
    cascade = CascadeClassifier([a, b], HALF, memory=memory)
    with pytest.raises(DataError, match=r"'a\+b' got shape \(1, 9, 8, 1\)"):
        cascade.predict(np.zeros((1, 9, 8, 1), np.uint8))
    assert not memory.calls


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("dog", "cat", "ship", "shoe", "tree")}, "their labels are"),
        ({"image": {"invert": True}}, "expected the same but for scale, mean and std"),
        ({"image": {"crop": (0, 0, 4, 4)}}, "expected the same but for scale, mean and std"),
    ],
)
def test_members_that_see_or_name_other_things_are_refused(
    a, tmp_path, write_classifier, changes, message
) -> None:
    other = load_classifier(write_classifier(tmp_path, "other", **changes))
    with pytest.raises(DataError, match=f"'a' and 'other' cannot form a cascade: .*{message}"):
        CascadeClassifier([a, other], HALF)


def test_policies_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"unknown score .*Did you mean 'margin'"):
        CascadePolicy(score="margins", thresholds=(0.5,), combine="average")
    with pytest.raises(UserError, match="unknown combination"):
        CascadePolicy(score="margin", thresholds=(0.5,), combine="mean")
    for threshold in (float("nan"), -0.1):
        with pytest.raises(ConfigError, match="expected a number from 0"):
            CascadePolicy(score="margin", thresholds=(threshold,), combine="average")


def test_the_fingerprint_covers_members_order_and_policy(a, b) -> None:
    policies = [
        HALF,
        CascadePolicy(score="max_probability", thresholds=(0.9,), combine="average"),
        CascadePolicy(score="margin", thresholds=(0.8,), combine="average"),
        CascadePolicy(score="margin", thresholds=(0.9,), combine="replace"),
    ]
    prints = {CascadeClassifier([a, b], policy).info.fingerprint for policy in policies}
    prints.add(CascadeClassifier([b, a], HALF).info.fingerprint)
    prints.add(CascadeClassifier([a, a], HALF).info.fingerprint)
    assert len(prints) == 6
    remembering = CascadeClassifier([a, b], HALF, memory=Notebook())
    assert remembering.info.fingerprint in prints, "the memory decides no answer"
    assert (remembering.info.name, remembering.info.version) == ("a+b", "1+1")


def test_it_prepares_warms_up_and_closes_through_its_members(a, b, pictures) -> None:
    cascade = CascadeClassifier([a, b], HALF, memory=(memory := Notebook()))
    assert (cascade.prepare(list(pictures)) == pictures).all()
    cascade.warm_up((1, 2))
    assert [len(batch) for batch in a.batches] == [len(batch) for batch in b.batches] == [1, 2]
    assert not memory.calls
    cascade.close()
    for member in (a, b):
        with pytest.raises(DataError, match="is closed"):
            member.predict(pictures)


def test_two_threads_on_real_networks_and_memory_give_the_answers_of_one(a, b, pictures) -> None:
    memory = LocalMemory(MemorySettings(key="exact", store_min_confidence=0.0))
    shared = CascadeClassifier([a, b], HALF, memory=memory)
    alone = CascadeClassifier([a, b], HALF)
    batches = [pictures[at : at + 6] for at in range(0, 42, 2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(shared.predict, batches * 3))
    for batch, answer in zip(batches * 3, answers, strict=True):
        np.testing.assert_allclose(
            answer.probabilities, alone.predict(batch).probabilities, atol=1e-6
        )
    assert memory.counters().entries == 46
    assert memory.counters().lookups == 6 * 63

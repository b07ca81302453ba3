"""The read-out of dual memory networks: prototypes from remembered features, and their mixture."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.learning.read_out import (
    BETA,
    MixingWeights,
    Projection,
    Slots,
    entropy_nats,
    mix,
    read_out,
    read_out_scores,
    unit_rows,
)
from edge.learning.state import ReadOutSettings, Remembered

RNG = np.random.default_rng(0)
FEATURES = unit_rows(RNG.normal(size=(9, 4)))
CLASSES = np.array([0, 1, 2, 2, 1, 0, 2, 2, 2])
QUERIES = unit_rows(RNG.normal(size=(5, 4)))


def by_hand(query: np.ndarray, beta: float, scale: float) -> list[float]:
    """The paper's equations, one slot at a time."""
    scores = []
    for label in range(3):
        prototype = np.zeros(4)
        for slot in FEATURES[label == CLASSES]:
            prototype += math.exp(-beta * (1.0 - float(query @ slot))) * slot
        scores.append(scale * float(prototype @ query) / float(np.linalg.norm(prototype)))
    return scores


def test_scores_are_those_of_the_paper() -> None:
    scores = read_out_scores(QUERIES, Slots.of(FEATURES, CLASSES, 3), beta=BETA, scale=100.0)
    expected = np.array([by_hand(query, BETA, 100.0) for query in QUERIES])
    np.testing.assert_allclose(scores, expected - 100.0, rtol=1e-4, atol=1e-3)
    assert scores.dtype == np.float32
    assert BETA == 5.5


def test_without_sharpness_a_prototype_is_the_mean_of_its_class() -> None:
    scores = read_out_scores(QUERIES, Slots.of(FEATURES, CLASSES, 3), beta=0.0, scale=1.0)
    means = unit_rows(np.stack([FEATURES[label == CLASSES].mean(axis=0) for label in range(3)]))
    np.testing.assert_allclose(scores, QUERIES @ means.T - 1.0, rtol=1e-4, atol=1e-5)


def test_features_that_hardly_differ_keep_their_digits() -> None:
    close = unit_rows(np.ones((1, 4)) + 1e-4 * RNG.normal(size=(8, 4)))
    slots = Slots.of(close, np.arange(8) % 2, 2)
    exact = []
    for label in range(2):
        own = close[np.arange(8) % 2 == label].astype(np.float64)
        weights = np.exp(-BETA * (1.0 - close.astype(np.float64) @ own.T))
        prototypes = weights @ own
        prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
        exact.append(-np.square(prototypes - close).sum(axis=1) / 2.0)
    scores = read_out_scores(close, slots, beta=BETA, scale=1.0)
    np.testing.assert_allclose(scores, np.stack(exact, axis=1), rtol=0.02)


def test_a_remembered_image_scores_the_higher_the_sharper_the_weights_are() -> None:
    slots = Slots.of(FEATURES, CLASSES, 3)
    own = [
        float(read_out_scores(FEATURES[3:4], slots, beta=beta, scale=1.0)[0, 2])
        for beta in (0.0, BETA, 50.0)
    ]
    assert own == sorted(own)
    assert own[-1] == pytest.approx(0.0, abs=1e-4)


def test_the_order_of_the_slots_does_not_matter() -> None:
    order = RNG.permutation(9)
    first = read_out(QUERIES, Slots.of(FEATURES, CLASSES, 3), beta=BETA, scale=10.0)
    other = read_out(QUERIES, Slots.of(FEATURES[order], CLASSES[order], 3), beta=BETA, scale=10.0)
    np.testing.assert_allclose(first, other, atol=1e-6)


def test_shifts_of_zero_change_nothing_and_new_classes_are_not_shifted() -> None:
    zeros = np.zeros((3, 4), np.float32)
    none = Projection(query=zeros[0], key=zeros, value=zeros, output=zeros)
    plain = read_out_scores(QUERIES, Slots.of(FEATURES, CLASSES, 3), beta=BETA, scale=10.0)
    same = read_out_scores(QUERIES, Slots.of(FEATURES, CLASSES, 3, none), beta=BETA, scale=10.0)
    np.testing.assert_allclose(plain, same, atol=1e-5)

    shift = RNG.normal(size=(2, 4)).astype(np.float32)
    shifted = Projection(query=zeros[0], key=shift, value=shift, output=shift)
    moved = read_out_scores(QUERIES, Slots.of(FEATURES, CLASSES, 3, shifted), beta=BETA, scale=10.0)
    np.testing.assert_allclose(moved[:, 2], plain[:, 2], atol=1e-5)
    assert np.abs(moved[:, :2] - plain[:, :2]).min() > 1e-4


def test_the_mixture_is_the_weighted_sum_of_three_distributions() -> None:
    network, static, dynamic = RNG.dirichlet(np.ones(3), (3, 5))
    weights = MixingWeights(network=1.0, static=0.3, dynamic=3.0)
    expected = (network + 0.3 * static + 3.0 * dynamic) / 4.3
    np.testing.assert_allclose(mix(network, static, dynamic, weights), expected)
    np.testing.assert_allclose(mix(network, static, None, weights), (network + 0.3 * static) / 1.3)


@pytest.mark.parametrize("weight", [0.0, 1.0, 1000.0])
def test_a_network_does_not_speak_against_classes_that_it_does_not_know(weight: float) -> None:
    network = RNG.dirichlet(np.ones(2), 5)
    static = RNG.dirichlet(np.ones(3), 5)
    weights = MixingWeights(network=weight, static=1.0, dynamic=0.0)
    mixed = mix(network, static, static, weights)
    np.testing.assert_allclose(mixed[:, 2], static[:, 2])
    np.testing.assert_allclose(mixed.sum(axis=1), 1.0)


def test_a_network_alone_still_leaves_room_for_new_classes() -> None:
    mixed = mix(
        np.array([[0.5, 0.5]]),
        np.array([[0.1, 0.1, 0.8]]),
        None,
        MixingWeights(network=1.0, static=0.0, dynamic=0.0),
    )
    np.testing.assert_allclose(mixed, [[0.1, 0.1, 0.8]])


def test_entropy_is_zero_for_certainty_and_ln_c_for_ignorance() -> None:
    np.testing.assert_allclose(
        entropy_nats(np.array([[1.0, 0.0], [0.5, 0.5]])), [0.0, math.log(2)], atol=1e-12
    )


def test_settings_begin_with_the_papers_sharpness() -> None:
    weights = MixingWeights(network=1.0, static=1.0, dynamic=1.0)
    assert ReadOutSettings(weights=weights, scale=1.0).beta == BETA
    assert len(Remembered.nothing(7)) == 0

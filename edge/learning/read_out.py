"""The read-out of dual memory networks: class scores from remembered features.

Zhang et al., "Dual Memory Networks: A Versatile Adaptation Approach for Vision-Language Models",
CVPR 2024, arXiv 2403.17589. For every class c the remembered features m_cj (its slots) are weighted
by their similarity to the image's feature f, w_j = exp(-beta (1 - cos(f, m_cj))); their weighted
sum, normalised, is the prototype v_c that suits this image; the score is scale * <v_c, f>.

There the features are CLIP's and a text takes part as a further slot; here they are the penultimate
features of any of our networks, whose own answer stands where the text's stood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.probabilities import softmax

#: Sharpness of the similarity weights; the paper's, for all its data sets.
BETA = 5.5

_TINY = np.float32(1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Learned shifts, zero where nothing was learned (the paper's ``bias`` at all positions).

    Attributes:
        query: (D,) float32, added to the image's feature before it is compared.
        key: (C, D) float32, added to a class's slots where they are compared.
        value: (C, D) float32, added to a class's slots where they are summed.
        output: (C, D) float32, added to the class's prototype.
    """

    query: NDArray[np.float32]
    key: NDArray[np.float32]
    value: NDArray[np.float32]
    output: NDArray[np.float32]

    def for_classes(self, classes: int) -> Projection:
        """Return the same for so many classes; further ones are not shifted."""

        def fitted(shift: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.pad(shift, ((0, classes - len(shift)), (0, 0)))

        return Projection(
            query=self.query,
            key=fitted(self.key),
            value=fitted(self.value),
            output=fitted(self.output),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The slots of all classes as rectangular arrays; a class with fewer slots has empty ones.

    Attributes:
        keys: (C, K, D) float32 of unit length; empty ones are zero.
        values: (C, K, D) float32 of unit length; empty ones are zero.
        filled: (C, K) float32, 1 where a slot holds something, else 0.
        query: (D,) float32, added to a feature before it is compared.
        output: (C, D) float32, added to the prototypes.
    """

    keys: NDArray[np.float32]
    values: NDArray[np.float32]
    filled: NDArray[np.float32]
    query: NDArray[np.float32]
    output: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32],
        classes: NDArray[np.integer],
        class_count: int,
        projection: Projection | None = None,
    ) -> Slots:
        """Arrange remembered features by their class, in the order in which they come.

        Args:
            features: (S, D) of unit length.
            classes: (S,) the class of each, below `class_count`.
            class_count: Number of classes, at least 1.
            projection: Learned shifts, or None.
        """
        width = features.shape[1]
        counts = np.bincount(classes, minlength=class_count)
        order = np.argsort(classes, kind="stable")
        starts = np.cumsum(counts) - counts
        ranks = np.arange(len(classes)) - np.repeat(starts, counts)
        filled = np.zeros((class_count, max(int(counts.max(initial=0)), 1)), np.float32)
        filled[classes[order], ranks] = 1.0
        plain = np.zeros((*filled.shape, width), np.float32)
        plain[classes[order], ranks] = features[order]
        if projection is None:
            nothing = np.zeros((class_count, width), np.float32)
            return cls(keys=plain, values=plain, filled=filled, query=nothing[0], output=nothing)
        fitted = projection.for_classes(class_count)
        present = filled[..., None]
        return cls(
            keys=unit_rows(plain + fitted.key[:, None]) * present,
            values=unit_rows(plain + fitted.value[:, None]) * present,
            filled=filled,
            query=fitted.query,
            output=fitted.output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MixingWeights:
    """How much each of the three answers counts; 0 or more, not all 0.

    Attributes:
        network: Of the network's own probabilities.
        static: Of what is read out of the examples.
        dynamic: Of what is read out of examples and the images that were seen since.
    """

    network: float
    static: float
    dynamic: float


def unit_rows(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return features scaled to length 1 along the last axis; a zero stays zero."""
    values = np.asarray(features, np.float32)
    length = np.sqrt(np.einsum("...d,...d->...", values, values))[..., None]
    return np.asarray(values / np.maximum(length, _TINY), np.float32)


def read_out_scores(
    features: NDArray[np.float32], slots: Slots, *, beta: float, scale: float
) -> NDArray[np.float32]:
    """Return the score of every class for every image, less the scale.

    For vectors of unit length <v, f> = 1 - |v - f|^2 / 2. The right side less the 1, which changes
    no probability, keeps its digits where all features point in nearly the same direction.

    Args:
        features: (N, D) of unit length.
        slots: What is remembered; every class has one slot at least.
        beta: Sharpness of the similarity weights.
        scale: Factor of the scores, the inverse of a temperature.

    Returns:
        (N, C) float32, 0 or less: 0 where a prototype is the feature itself.
    """
    classes, places, width = slots.keys.shape
    queries = unit_rows(features + slots.query)
    similarity = (queries @ slots.keys.reshape(-1, width).T).reshape(-1, classes, places)
    weights = np.exp(np.float32(beta) * (similarity - 1.0)) * slots.filled
    prototypes = unit_rows(np.matmul(weights.transpose(1, 0, 2), slots.values))  # (C, N, D)
    apart = unit_rows(prototypes + slots.output[:, None]) - features
    scores = np.einsum("cnd,cnd->nc", apart, apart) * np.float32(-scale / 2.0)
    return np.asarray(scores, np.float32)


def read_out(
    features: NDArray[np.float32], slots: Slots, *, beta: float, scale: float
) -> NDArray[np.float64]:
    """Return probabilities (N, C) float64: the softmax of `read_out_scores`."""
    return softmax(read_out_scores(features, slots, beta=beta, scale=scale))


def mix(
    network: NDArray[np.floating],
    static: NDArray[np.floating],
    dynamic: NDArray[np.floating] | None,
    weights: MixingWeights,
) -> NDArray[np.float64]:
    """Join the network's answer with those of the memories.

    Without further classes this is the paper's weighted sum of three distributions. A network
    knows nothing of classes that were learned later and would always speak against them, so its
    answer decides only how the share that the memories give to the network's classes is
    distributed among these.

    Args:
        network: (N, B) probabilities of the network's classes, which come first.
        static: (N, C) probabilities read out of the static memory, C >= B.
        dynamic: (N, C) those of the dynamic memory; None: it is left out.
        weights: How much each counts.

    Returns:
        (N, C) float64, rows sum to 1.
    """
    known = network.shape[1]
    shares = [(weights.static, static)]
    if dynamic is not None:
        shares.append((weights.dynamic, dynamic))
    total = sum(weight for weight, _ in shares)
    memories = np.zeros(static.shape, np.float64)
    for weight, probabilities in shares:
        # Where only the network counts, the memories still say how much of it is new.
        memories += (weight / total if total else 1.0 / len(shares)) * probabilities
    from_network = memories.copy()
    from_network[:, :known] = memories[:, :known].sum(axis=1, keepdims=True) * network
    mixed = weights.network * from_network + total * memories
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))


def entropy_nats(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the entropy of each row in nats: (N, C) -> (N,), 0 or more."""
    values = np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float64).tiny)
    return np.asarray(-(values * np.log(values)).sum(axis=-1))

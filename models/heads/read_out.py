"""The dual memory read-out on the frozen features of a trained network, as a head of the zoo.

``read_out`` trains nothing: examples of every class are remembered, and three numbers are chosen on
validation images. ``read_out_projected`` also learns shifts of keys, values and prototypes. That
tells the known classes apart better, but a class that is added later is not shifted and then draws
images of the others to itself, so `read_out` is the one to teach.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.classifier import FeatureClassifier
from edge.learning.dual_memory import DualMemoryClassifier
from edge.learning.read_out import mix, read_out
from edge.learning.state import MemoryState
from edge.sidecar import StateSpec, TrainingData, TrainingRecord
from models.calibration import expected_calibration_error
from models.classifiers.export import claims_on_test, copy_classifier
from models.classifiers.timing import measure_cpu_us
from models.data.corruptions import corrupt
from models.data.dataset import LabelledImages
from models.heads.frozen_features import (
    FrozenAnswers,
    frozen_answers,
    joined,
    load_feature_network,
)
from models.heads.head import HeadProgress, HeadTraining
from models.heads.memory_fitting import draw_examples, fitted_state, with_dynamic_weight
from models.heads.projection import ProjectionTraining, learn_projection
from models.host import host_name

#: Examples of each class, the most that the paper reports.
SHOTS = 16

#: Training images from which shifts are learned, at most.
_LEARNED_FROM = 10_000

#: Validation images of the stream on which the dynamic weight is chosen, at most; half of them are
#: blurred, so that the memory is chosen for a stream that has changed.
_STREAM = 5_000
_STREAM_CORRUPTION = ("blur", 1)

_STEPS = 5


def train_read_out(training: HeadTraining, progress: HeadProgress) -> Path:
    """Remember examples of every class; return the sidecar.

    Raises:
        DataError: If the network shows no features.
    """
    return _train(training, progress, projected=False)


def train_projected_read_out(training: HeadTraining, progress: HeadProgress) -> Path:
    """Remember examples of every class and learn shifts; return the sidecar.

    Raises:
        DataError: If the network shows no features.
    """
    return _train(training, progress, projected=True)


def _train(training: HeadTraining, progress: HeadProgress, *, projected: bool) -> Path:
    dataset, rng = training.dataset, np.random.default_rng(training.seed)
    network = load_feature_network(training.base)
    progress(0, _STEPS, "examples")
    chosen = draw_examples(dataset.train.labels, np.full(len(dataset.labels), SHOTS), rng)
    examples = _answers(network, dataset.train.select(chosen))
    progress(1, _STEPS, "validation images")
    validation = _answers(network, dataset.validation)
    state = fitted_state(dataset.labels, examples, validation)
    if projected:
        progress(2, _STEPS, "learning shifts")
        others = np.setdiff1d(np.arange(len(dataset.train)), chosen)
        others = rng.choice(others, min(_LEARNED_FROM, len(others)), replace=False)
        projection = learn_projection(
            ProjectionTraining(scale=state.settings.scale, seed=training.seed),
            state.static_slots,
            _answers(network, dataset.train.select(others)),
        )
        state = fitted_state(dataset.labels, examples, validation, projection)
    progress(3, _STEPS, "a stream of validation images")
    state = with_dynamic_weight(state, _stream(network, dataset.validation, rng))
    progress(4, _STEPS, "test images")
    test = _answers(network, dataset.test)
    path = _write(training, network, state, (validation, test))
    progress(_STEPS, _STEPS, "written")
    return path


def _stream(
    network: FeatureClassifier, images: LabelledImages, rng: np.random.Generator
) -> FrozenAnswers:
    """Return validation images in random order, the second half of which is blurred."""
    clean, changed = np.array_split(rng.permutation(len(images))[:_STREAM], 2)
    blurred = corrupt(images.images[changed], *_STREAM_CORRUPTION)
    return joined(
        _answers(network, images.select(clean)),
        frozen_answers(network, blurred, images.labels[changed]),
    )


def _answers(network: FeatureClassifier, images: LabelledImages) -> FrozenAnswers:
    return frozen_answers(network, images.images, images.labels)


def _mixed(state: MemoryState, answers: FrozenAnswers) -> NDArray[np.float64]:
    """Mix network and static memory, which is how it is served."""
    settings = state.settings
    static = read_out(
        answers.features, state.static_slots, beta=settings.beta, scale=settings.scale
    )
    return mix(answers.probabilities, static, None, settings.weights)


def _write(
    training: HeadTraining,
    network: FeatureClassifier,
    state: MemoryState,
    judges: tuple[FrozenAnswers, FrozenAnswers],
) -> Path:
    """Write graph, memory and sidecar, judged on validation and test images."""
    validation, test = judges
    of_validation, of_test = _mixed(state, validation), _mixed(state, test)
    copied = copy_classifier(training.base, training.output, training.name)
    dataset = training.dataset
    sidecar = copied.model_copy(
        update={
            # The network keeps its own temperature; what is stated is that of the whole.
            "calibration": copied.calibration.model_copy(
                update={
                    "split": "validation",
                    "n": len(validation),
                    "ece": expected_calibration_error(of_validation, validation.labels),
                }
            ),
            "training": TrainingRecord(
                command=training.command,
                data=TrainingData(name=dataset.name, sha256=dataset.fingerprint),
                split="train",
                seed=training.seed,
            ),
            "claims": claims_on_test(
                right=int((of_test.argmax(axis=1) == test.labels).sum()),
                n=len(test),
                ece=expected_calibration_error(of_test, test.labels),
                command=training.command,
            ),
            "limits": training.limits,
            "state": StateSpec(kind="memory_head", path="unsaved.npz", sha256=state.sha256),
        }
    )
    classifier = DualMemoryClassifier(sidecar, network, state)
    (cpu_us,) = measure_cpu_us([classifier], dataset.validation.images)
    cost = sidecar.cost.model_copy(
        update={
            "parameters": sidecar.cost.parameters + state.static.features.size,
            "cpu_us": cpu_us,
            "host": host_name(),
        }
    )
    described = sidecar.model_copy(update={"cost": cost})
    return DualMemoryClassifier(described, network, state).save(training.output)

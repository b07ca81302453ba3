"""Accuracy, calibration, robustness and cost of every classifier of the zoo, measured alike.

Measures the models that ship for FashionMNIST, and further trainings of the same entries and others
that lie in ``runs/zoo/*/model/``, each through its session alone. The record of a whole run is
``studies/fashion_mnist/zoo/evaluation.json``, which `bicameral zoo` and the documentation show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bicameral.errors import DataError
from bicameral.files import write_json_atomic
from bicameral.protocols import ClassifierSession
from bicameral.statistics import share
from edge.loading import load_classifier
from edge.shipped import shipped_model, shipped_models
from edge.sidecar import SUFFIX, Sidecar, read_sidecar, sidecar_path
from models.classifiers.logits import NetworkLogits, write_network_logits, write_targets
from models.classifiers.timing import measure_cpu_us
from models.data.corruptions import condition_name, conditions, corrupt
from models.data.dataset import ImageDataset
from models.host import host_name, inference_versions
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import EVALUATION_NAME, ZooEvaluation
from studies.images import NEEDS, fashion_mnist, predict
from studies.measurements import Measured, single, write_measurements
from studies.study import Study
from studies.zoo_summary import CLEAN, Training, judge, log_probabilities, summarise, winners

_CORRUPTED = 2_500
_SEED = 0
_TRAININGS = Path("runs/zoo")
_SEED_SUFFIX = re.compile(r"-s\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A loaded model, and which training of which entry it is."""

    entry: str
    sidecar: Sidecar
    path: Path
    classifier: ClassifierSession


def run(folder: Path, quick: bool) -> int:
    """Measure all models, compare them, and write record, table and logits."""
    dataset = fashion_mnist(60 if quick else None)
    models = shipped_for(dataset)
    if quick:
        models = [path for path in models if "dual_branch" in path.name or "noprop." in path.name]
    else:
        models += sorted(_TRAININGS.glob(f"*/model/*{SUFFIX}"))
    evaluation = measure_zoo(models, dataset, folder, corrupted=20 if quick else _CORRUPTED)
    found = winners(evaluation.entries)
    for measure, name in found.items():
        print(f"best {measure}: {name}")
    return 0 if len(set(found.values())) > 1 else 1


STUDY = Study(
    claim="No classifier of the zoo is the best in everything.",
    setting="One thread of a shared AMD EPYC; all 10,000 test images, and 2,500 under 15 "
    "corruptions (seed 0); n = 1 or 3 trainings of an entry; about an hour.",
    run=run,
    needs=f"{NEEDS}; further trainings, if wanted, in {_TRAININGS}/*/model",
)


def measure_zoo(
    models: Sequence[Path],
    dataset: ImageDataset,
    folder: Path,
    *,
    corrupted: int,
    tell: Callable[[str], None] = print,
) -> ZooEvaluation:
    """Measure models on the test images of a data set and compare them.

    All models are loaded before the first one is measured, so that a broken one is found at once.

    Args:
        models: Graphs or sidecars; of one training of an entry, the first counts.
        dataset: What they were trained on.
        folder: Gets the record, the table, and ``logits/``, from which cascades can be chosen.
        corrupted: So many test images, from the first on, are corrupted.
        tell: Called before each part of the work.

    Raises:
        BicameralError: If a model cannot be loaded or does not fit the data set.
    """
    with ExitStack() as closing:
        contestants = _load(models, dataset, closing)
        trainings = []
        for one in contestants:
            tell(f"{one.entry} seed {one.sidecar.training.seed}")
            trainings.append(_measure(one, dataset, corrupted))
        tell("CPU time of all in turns")
        firsts = {one.entry: one.classifier for one in reversed(contestants)}
        times = measure_cpu_us(list(firsts.values()), dataset.test.images)
        cpu_us = dict(zip(firsts, times, strict=True))
        for one, training in zip(contestants, trainings, strict=True):
            _write_logits(folder / "logits", dataset, one, training, cpu_us[one.entry])
    evaluation = ZooEvaluation(
        dataset=dataset.name,
        dataset_sha256=dataset.fingerprint,
        n_test=len(dataset.test),
        n_corrupted=min(corrupted, len(dataset.test)),
        seed=_SEED,
        command="python -m studies zoo",
        host=host_name(),
        versions=inference_versions(),
        entries=summarise(trainings, cpu_us, shipped_models()),
    )
    write_json_atomic(folder / EVALUATION_NAME, asdict(evaluation))
    write_measurements(folder / "evaluation.csv", _table(trainings))
    return evaluation


def shipped_for(dataset: ImageDataset) -> list[Path]:
    """Return the shipped classifiers and cascades that were trained on a data set."""
    paths = [shipped_model(name) for name in shipped_models()]
    sidecars = [(path, read_sidecar(path)) for path in paths]
    return [
        path
        for path, sidecar in sidecars
        if sidecar.agent is None and sidecar.training.data.name == dataset.name
    ]


def entry_name(model: str, dataset: str) -> str:
    """Return what a model's name is without the data set before it and the seed behind it."""
    return _SEED_SUFFIX.sub("", model.removeprefix(dataset.replace("-", "_") + "_"))


def _load(models: Sequence[Path], dataset: ImageDataset, closing: ExitStack) -> list[Contestant]:
    """Load one model for each entry and seed, in this order."""
    found: dict[tuple[str, int], Contestant] = {}
    for path in models:
        sidecar = read_sidecar(path)
        key = (entry_name(sidecar.name, dataset.name), sidecar.training.seed)
        if key in found:
            continue
        if sidecar.state.online:
            raise DataError(
                f"{path} changes with what it sees, so its figures would be those of one order of "
                "the images; switch its state.online off"
            )
        # A memory would answer for the classifier; what it does is measured on streams.
        classifier = load_classifier(path, memory="none")
        closing.callback(classifier.close)
        if classifier.info.labels != dataset.labels:
            raise DataError(
                f"{path} knows the classes {classifier.info.labels}, the data set has "
                f"{dataset.labels}"
            )
        found[key] = Contestant(
            entry=key[0], sidecar=sidecar, path=sidecar_path(path), classifier=classifier
        )
    return [found[key] for key in sorted(found)]


def _measure(one: Contestant, dataset: ImageDataset, corrupted: int) -> Training:
    """Measure a classifier on the test images as they are and under every corruption."""
    test = dataset.test
    few, labels = test.images[:corrupted], test.labels[:corrupted]
    answers = {CLEAN: judge(predict(one.classifier, test.images), test.labels)}
    for name, level in conditions():
        probabilities = predict(one.classifier, corrupt(few, name, level, _SEED))
        answers[condition_name(name, level)] = judge(probabilities, labels)
    parameters, size = model_files(one.path)
    return Training(
        entry=one.entry,
        seed=one.sidecar.training.seed,
        model=one.sidecar.name,
        macs=one.classifier.info.macs,
        parameters=parameters,
        bytes=size,
        answers=answers,
    )


def model_files(path: Path) -> tuple[int, int]:
    """Return the weights and the bytes that running a model takes; of a cascade, its members'."""
    sidecar = read_sidecar(path)
    if sidecar.cascade is not None:
        members = [
            model_files(path.with_name(stage.name + SUFFIX)) for stage in sidecar.cascade.stages
        ]
        return sum(one[0] for one in members), sum(one[1] for one in members)
    graphs = sum(file.bytes for file in sidecar.files if file.target == "onnxruntime")
    state = sidecar.state.path
    return sidecar.cost.parameters, graphs + (
        0 if state is None else path.with_name(state).stat().st_size
    )


def _write_logits(
    folder: Path, dataset: ImageDataset, one: Contestant, training: Training, cpu_us: float
) -> None:
    """Write what a network answers, as logarithms of its calibrated probabilities.

    A cascade is no member of a cascade's pool, and the parts of the shipped one have their logits
    in that pool.
    """
    listed = CATALOGUE.get(one.entry)
    compared = listed is not None and listed.kind == "compared"
    if one.sidecar.kind != "classifier" or training.macs is None or compared:
        return
    validation, test = (
        log_probabilities(predict(one.classifier, part.images))
        for part in (dataset.validation, dataset.test)
    )
    write_targets(folder, dataset)
    write_network_logits(
        folder,
        NetworkLogits(
            architecture=one.entry,
            seed=training.seed,
            macs=training.macs,
            parameters=training.parameters,
            cpu_us=cpu_us,
            validation=validation,
            test=test,
        ),
    )


def _table(trainings: Sequence[Training]) -> Measured:
    measured: Measured = {}
    for one in trainings:
        for condition, answers in one.answers.items():
            subject = (f"{one.entry}-s{one.seed}", condition)
            n = len(answers.correct)
            measured[*subject, "accuracy"] = share(int(answers.correct.sum()), n)
            measured[*subject, "macro_f1"] = single(answers.macro_f1, n=n)
            measured[*subject, "nll"] = single(answers.nll, "nats", n)
            measured[*subject, "ece"] = single(answers.ece, n=n)
    return measured

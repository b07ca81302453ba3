"""Measures many models into one folder; what is finished is not measured again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bicameral.errors import DataError
from bicameral.files import write_json_atomic
from edge.loading import load_classifier
from edge.shipped import resolve_model, shipped_model, shipped_models
from edge.sidecar import Sidecar, read_sidecar
from models.cascade.deployed import require_same_task
from models.classifiers.dataset import ImageDataset
from models.classifiers.logits import (
    NetworkLogits,
    read_pool_logits,
    write_network_logits,
    write_targets,
)
from models.classifiers.timing import measure_cpu_us
from models.host import host_name, inference_versions
from models.records import read_record
from models.zoo.catalogue import CATALOGUE
from models.zoo.corruptions import conditions, definition_sha256
from models.zoo.evaluation import (
    Contestant,
    CorruptionSettings,
    evaluate_model,
    log_probabilities,
    model_files,
    predict,
)
from models.zoo.records import ModelRecord, read_model_record, write_model_record
from models.zoo.results import ZooEvaluation, write_evaluation
from models.zoo.summary import corruption_records, summarise

LOGITS_FOLDER = "logits"
_RECORDS_FOLDER = "records"
_TIMING_NAME = "timing.json"

_SEED_SUFFIX = re.compile(r"-s\d+$")

#: Is told (done, total, what is being done).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentSettings:
    """What to measure, and where to write.

    Attributes:
        models: Names of shipped models or paths; empty: all that ship for the data set.
        output: Folder of the results.
        corruptions: Which images are corrupted how.
        command: Command line, for the record.
    """

    models: tuple[str, ...]
    output: Path
    corruptions: CorruptionSettings = field(default_factory=CorruptionSettings)
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timing:
    """CPU times of one run, by entry."""

    host: str
    fingerprints: dict[str, str]
    cpu_us: dict[str, float]


def assess_zoo(
    settings: AssessmentSettings,
    dataset: ImageDataset,
    progress: Progress = lambda done, total, note: None,
) -> ZooEvaluation:
    """Measure models on the test images of a data set and compare them.

    All models are loaded before the first one is measured, so that a broken one is found at once.
    Every finished model is kept in ``records/``; the folder also gets ``evaluation.json``,
    ``evaluation.csv``, and ``logits/``, from which `bicameral assess pool` makes cascades.

    Raises:
        BicameralError: If a model cannot be loaded or does not fit the data set, or two are the
            same training of the same entry.
    """
    with ExitStack() as closing:
        contestants = _load(settings, dataset, closing)
        records = _measure_all(settings, dataset, contestants, progress)
        cpu_us = _times(settings.output, dataset, contestants, progress)
        _write_times(settings.output / LOGITS_FOLDER, cpu_us)
    evaluation = ZooEvaluation(
        dataset=dataset.name,
        dataset_sha256=dataset.fingerprint,
        n_test=len(dataset.test),
        n_corrupted=settings.corruptions.count(dataset),
        seed=settings.corruptions.seed,
        corruptions=corruption_records(),
        command=settings.command,
        host=host_name(),
        versions=inference_versions(),
        entries=summarise(records, cpu_us, shipped_models()),
    )
    write_evaluation(settings.output, evaluation)
    return evaluation


def entry_name(model: str, dataset: str) -> str:
    """Return what a model's name is without the data set before it and the seed behind it."""
    return _SEED_SUFFIX.sub("", model.removeprefix(dataset.replace("-", "_") + "_"))


def _load(
    settings: AssessmentSettings, dataset: ImageDataset, closing: ExitStack
) -> list[Contestant]:
    found: dict[tuple[str, int], str] = {}
    contestants = []
    for model in settings.models or _shipped_for(dataset):
        path = resolve_model(model)
        sidecar = read_sidecar(path)
        # A memory would answer for the classifier; what it does is measured on streams.
        classifier = load_classifier(path, memory="none")
        closing.callback(classifier.close)
        require_same_task(classifier, dataset)
        if sidecar.state.online:
            raise DataError(
                f"{path} changes with what it sees, so its figures would be those of one order of "
                "the images; switch its state.online off"
            )
        key = (entry_name(sidecar.name, dataset.name), sidecar.training.seed)
        if key in found:
            raise DataError(
                f"{model} and {found[key]} are both {key[0]!r} with seed {key[1]}; give one of "
                "them, or export one under another name"
            )
        found[key] = model
        contestants.append(
            Contestant(
                entry=key[0],
                seed=key[1],
                kind=sidecar.kind,
                classifier=classifier,
                files=model_files(path),
            )
        )
    if not contestants:
        raise DataError(f"no model ships for the data set {dataset.name!r}; name some")
    return sorted(contestants, key=lambda one: (one.entry, one.seed))


def _shipped_for(dataset: ImageDataset) -> list[str]:
    """Return the shipped classifiers and cascades that were trained on a data set."""

    def fits(sidecar: Sidecar) -> bool:
        return sidecar.agent is None and sidecar.training.data.name == dataset.name

    return [name for name in shipped_models() if fits(read_sidecar(shipped_model(name)))]


def _measure_all(
    settings: AssessmentSettings,
    dataset: ImageDataset,
    contestants: Sequence[Contestant],
    progress: Progress,
) -> list[ModelRecord]:
    """Measure what has no record yet."""
    steps = 1 + len(conditions())
    total = steps * len(contestants)
    records = []
    for index, one in enumerate(contestants):
        path = settings.output / _RECORDS_FOLDER / f"{one.title}.json"
        record = _finished(path, one, dataset, settings.corruptions)
        if record is None:

            def step(
                done: int, note: str, first: int = index * steps, title: str = one.title
            ) -> None:
                progress(first + done, total, f"{title}, {note}")

            record = evaluate_model(one, dataset, settings.corruptions, step=step)
            _write_logits(settings.output / LOGITS_FOLDER, dataset, one)
            # Last, because it says that this model is finished.
            write_model_record(path, record)
        records.append(record)
        progress((index + 1) * steps, total, f"{one.title}, done")
    return records


def _finished(
    path: Path, one: Contestant, dataset: ImageDataset, settings: CorruptionSettings
) -> ModelRecord | None:
    """Return the record of the same model on the same pixels, if there is one."""
    if not path.exists():
        return None
    record = read_model_record(path)
    found = (
        record.fingerprint, record.dataset_sha256, record.corruptions_sha256, record.n_corrupted,
    )  # fmt: skip
    wanted = (
        one.classifier.info.fingerprint,
        dataset.fingerprint,
        definition_sha256(settings.seed),
        settings.count(dataset),
    )
    return record if found == wanted else None


def _write_logits(folder: Path, dataset: ImageDataset, one: Contestant) -> None:
    """Write what a network answers, as logarithms of its calibrated probabilities.

    A cascade is no member of a cascade's pool, and the parts of the shipped one have their logits
    in that pool.
    """
    listed = CATALOGUE.get(one.entry)
    macs = one.classifier.info.macs
    if one.kind != "classifier" or macs is None or (listed and listed.kind == "compared"):
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
            seed=one.seed,
            macs=macs,
            parameters=one.files.parameters,
            cpu_us=0.0,
            validation=validation,
            test=test,
        ),
    )


def _times(
    output: Path, dataset: ImageDataset, contestants: Sequence[Contestant], progress: Progress
) -> dict[str, float]:
    """Return the CPU time of every entry's first training, all measured in one run.

    Times of two runs cannot be compared, so another set of entries is another run.
    """
    firsts: dict[str, Contestant] = {}
    for one in contestants:  # ascending by seed
        firsts.setdefault(one.entry, one)
    fingerprints = {name: one.classifier.info.fingerprint for name, one in firsts.items()}
    path = output / _TIMING_NAME
    if path.exists():
        stored = read_record(
            path, _Timing, what="record of CPU times", remedy="remove it and measure again"
        )
        if (stored.host, stored.fingerprints) == (host_name(), fingerprints):
            return stored.cpu_us
    progress(0, 1, f"CPU time of {len(firsts)} entries in turns")
    times = measure_cpu_us([one.classifier for one in firsts.values()], dataset.test.images)
    cpu_us = dict(zip(firsts, times, strict=True))
    timing = _Timing(host=host_name(), fingerprints=fingerprints, cpu_us=cpu_us)
    write_json_atomic(path, asdict(timing))
    progress(1, 1, "CPU time, done")
    return cpu_us


def _write_times(folder: Path, cpu_us: Mapping[str, float]) -> None:
    """Put the CPU times into the stored logits, of the entries that were measured."""
    if not folder.exists():
        return
    for network in read_pool_logits(folder).networks:
        measured = cpu_us.get(network.architecture, network.cpu_us)
        if network.cpu_us != measured:
            write_network_logits(folder, replace(network, cpu_us=measured))

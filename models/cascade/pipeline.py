"""From a data set to a cascade that can be deployed, and the record of how it was chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bicameral.errors import ConfigError, unknown_name
from edge.cascade_sidecar import CascadeMemory
from models.cascade.evaluation import evaluate_cascade
from models.cascade.export import CascadeExport, export_cascade
from models.cascade.plan import EvaluationSettings, make_plan
from models.cascade.pool import fit_temperatures, unit_temperatures, validation_pool
from models.cascade.report import write_results
from models.cascade.results import CascadeEvaluation
from models.cascade.tolerance import choose_tolerance
from models.classifiers.logits import PoolLogits, read_pool_logits
from models.classifiers.pool_training import (
    PoolMember,
    PoolProgress,
    PoolSettings,
    train_pool,
)
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from models.host import Provenance
from models.networks.architectures import ARCHITECTURES

MODEL_FOLDER = "model"

#: The memory that the sidecar describes: ten thousand thumbnails are 8 MB of FashionMNIST, and
#: answers that the cascade itself is not sure of are computed anew.
_MEMORY_ENTRIES = 10_000
_STORE_MIN_CONFIDENCE = 0.9

#: Students train this many times as long as others: they gain from it, and it costs little.
_STUDENT_EPOCHS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """What to train, how to choose, what to write.

    Attributes:
        pool: Data, recipe and output folder.
        small: Architectures of the small networks.
        evaluation: References, requirement and statistics.
        seed: Seed of the first training of every network; it decides what is chosen.
        finalist_seeds: Trainings, with seeds counting up from `seed`, of the networks that matter
            in the end: those of the system, the reference, and the best single network at its cost.
        distil: Also train small networks from the answers of this reference's first training;
            None: do not.
        students: Which small networks to distil; all if none is named.
        prefix: Names of the models begin with it.
    """

    pool: PoolSettings
    small: tuple[str, ...]
    evaluation: EvaluationSettings
    seed: int = 0
    finalist_seeds: int = 1
    distil: str | None = None
    students: tuple[str, ...] = ()
    prefix: str

    def __post_init__(self) -> None:
        for name in (*self.small, *self.evaluation.references):
            if name not in ARCHITECTURES:
                raise unknown_name("architecture", name, ARCHITECTURES)
        if self.distil is not None and self.distil not in self.evaluation.references:
            raise unknown_name("reference to distil from", self.distil, self.evaluation.references)
        for name in self.students:
            if name not in self.small or self.distil is None:
                raise ConfigError(
                    f"{name!r} cannot be a student: students are small networks of this pool "
                    f"({', '.join(self.small)}) and need a reference to distil from"
                )
        if self.finalist_seeds < 1:
            raise ConfigError(f"finalist_seeds is {self.finalist_seeds}, expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What was made."""

    evaluation: CascadeEvaluation
    sidecar: Path
    report: Path


def train_cascade(
    settings: PipelineSettings, progress: Callable[[PoolProgress], None] | None = None
) -> PipelineResult:
    """Train the pool, choose, train the finalists again with other seeds, judge, export.

    What is finished is not repeated, so the same call goes on after an interruption.

    Raises:
        BicameralError: As `train_pool`, `evaluate_cascade` and `export_cascade`.
    """
    members = _members(settings)
    train_pool(settings.pool, members, progress)
    finalists: list[PoolMember] = []
    if settings.finalist_seeds > 1:
        finalists = _finalists(settings, members)
        train_pool(settings.pool, finalists, progress)
    pool = _trained(settings, [*members, *finalists])
    evaluation = evaluate_cascade(pool, _judged_by(settings))
    dataset = load_dataset(settings.pool.source, settings.pool.options)
    provenance = Provenance.here(settings.pool.command)
    report = write_results(settings.pool.output, evaluation, dataset.test, provenance)
    export = CascadeExport(
        networks=settings.pool.output / "networks",
        output=settings.pool.output / MODEL_FOLDER,
        prefix=settings.prefix,
        memory=_memory(dataset.train),
        command=settings.pool.command,
    )
    return PipelineResult(
        evaluation=evaluation, sidecar=export_cascade(evaluation, pool, export), report=report
    )


def _memory(training: LabelledImages) -> CascadeMemory:
    return CascadeMemory(
        key="dhash_verified",
        tolerance_mae_u8=choose_tolerance(training),
        max_entries=_MEMORY_ENTRIES,
        max_age_s=None,
        store_min_confidence=_STORE_MIN_CONFIDENCE,
    )


def _members(settings: PipelineSettings) -> list[PoolMember]:
    plain = [
        PoolMember(architecture=name, seed=settings.seed)
        for name in (*settings.evaluation.references, *settings.small)
    ]
    if settings.distil is None:
        return plain
    teacher = settings.pool.model(PoolMember(architecture=settings.distil, seed=settings.seed))
    epochs = _STUDENT_EPOCHS * settings.pool.recipe.epochs
    return plain + [
        PoolMember(architecture=name, seed=settings.seed, teachers=(teacher,), epochs=epochs)
        for name in settings.students or settings.small
    ]


def _finalists(settings: PipelineSettings, members: Sequence[PoolMember]) -> list[PoolMember]:
    """Return the further trainings of the networks that decide the outcome."""
    pool = _trained(settings, members)
    plan = make_plan(
        validation_pool(pool, fit_temperatures(pool)),
        validation_pool(pool, unit_temperatures(pool)),
        _judged_by(settings),
    )
    wanted = {*plan.system.networks, plan.reference}
    if single := plan.chosen.opponents.get("best_single_at_cost"):
        wanted.update(single.networks)
    chosen = [member for member in members if member.network in wanted]
    return [
        replace(member, seed=settings.seed + step)
        for step in range(1, settings.finalist_seeds)
        for member in chosen
    ]


def _trained(settings: PipelineSettings, members: Sequence[PoolMember]) -> PoolLogits:
    """Return the logits of these members; the folder may hold those of earlier calls too."""
    pool = read_pool_logits(settings.pool.logits)
    wanted = {(member.network, member.seed) for member in members}
    networks = tuple(net for net in pool.networks if (net.architecture, net.seed) in wanted)
    return replace(pool, networks=networks)


def _judged_by(settings: PipelineSettings) -> EvaluationSettings:
    """Choose by the first seed alone: only the finalists have others."""
    return replace(settings.evaluation, selection_seeds=(settings.seed,))

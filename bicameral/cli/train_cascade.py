"""`bicameral train cascade`: from labelled images to a deployable cascade and its report."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from bicameral.cli.extras import require_extra
from bicameral.cli.numbers import Jobs, Seed
from bicameral.cli.progress import ProgressBar
from bicameral.cli.train import AS_THEY_COME, FolderFlags, model_prefix
from bicameral.errors import ConfigError
from bicameral.tables import narrowed, print_table
from edge.loading import load_classifier
from edge.shipped import resolve_model
from models.cascade.evaluation import evaluate_cascade
from models.cascade.plan import EvaluationSettings
from models.cascade.report_tables import choice_table, pool_table
from models.cascade.results import CascadeEvaluation
from models.cascade.search import MaxCost, MinAccuracy, Requirement
from models.classifiers.augmentation import Augmentation
from models.classifiers.logits import read_pools
from models.data.sources import DatasetOptions, load_dataset
from models.data.task import dataset_options
from models.host import Provenance

if TYPE_CHECKING:
    from models.cascade.pipeline import PipelineSettings
    from models.classifiers.pool_training import PoolProgress

#: Largest share of the images that the second network may see.
_MAX_USAGE = 0.3


def train_cascade(
    data: str,
    /,
    *,
    output: Path,
    from_logits: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    from_stages: str | None = None,
    networks: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    references: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    epochs: int = 12,
    seed: Seed = 0,
    finalist_seeds: int = 1,
    distil: str | None = None,
    students: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    mirror: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    min_accuracy: float | None = None,
    max_cost: float | None = None,
    cost: Literal["macs", "cpu_us"] = "macs",
    max_loss: float = 0.001,
    name: str | None = None,
    jobs: Jobs = 2,
    pictures: Annotated[FolderFlags, Parameter(name="*")] = AS_THEY_COME,
) -> int:
    """Train a pool of networks, choose one, a pair or three stages, export and explain the choice.

    A run that was killed goes on when the same command is given again. Networks, thresholds and
    calibration are chosen on validation images; test images only judge what was chosen.

    With --from-logits nothing is trained: the choice is made from stored answers and reported. With
    --from-stages the gate stands between the stages of one classifier; this early exit is exported.

    Args:
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder of the run: networks/, logits/, model/, evaluation.json and report.html.
        from_logits: Folders logits/ of earlier runs or of the zoo's study; several are one pool,
            and a network that is in two of them is taken from the first.
        from_stages: Classifier with stages, by name or path, that is to stop early.
        networks: Small architectures; the pool of small CNNs if none is named.
        references: Large single architectures to compare with; all if none is named.
        epochs: Passes over the training images, for every network.
        seed: Seed of the first training of each network.
        finalist_seeds: Trainings of the networks that matter in the end.
        distil: Reference whose answers train small networks a second time.
        students: Small networks to distil; all if none is named.
        mirror: Train on mirrored images too, if the data set allows it; of a folder of your own
            pictures you say so.
        precision: Arithmetic of the trainings; bf16 pays only on a processor that has it.
        min_accuracy: Choose the cheapest system of at least this validation accuracy, 0..1.
        max_cost: Choose the most accurate system of at most this expected cost: millions of
            multiply-accumulates, or microseconds with --cost cpu_us.
        cost: What a network's cost is: multiply-accumulates, or measured CPU time.
        max_loss: With --from-stages: accuracy that the choice may lose on validation images, 0..1.
        name: The models' names begin with it; the data set's name if not given.
        jobs: Trainings at a time, one thread each.
        pictures: How the pictures of a folder become images.
    """
    if from_stages is not None:
        if from_logits:
            raise ConfigError("give --from-logits or --from-stages, not both")
        return _stop_early(from_stages, data, output, max_loss, seed)
    requirement = _requirement(min_accuracy, max_cost, cost)
    choice = EvaluationSettings(
        references=references, requirement=requirement, cost=cost, max_usage=_MAX_USAGE
    )
    if from_logits:
        options = pictures.options(data, mirror=mirror)
        judged = replace(choice, selection_seeds=(seed,))
        return _choose(from_logits, (data, options), output, judged)
    require_extra("train")
    from models.cascade.pipeline import PipelineSettings
    from models.classifiers.export import LIMITS
    from models.classifiers.pool_training import PoolSettings
    from models.classifiers.training import Recipe
    from models.networks.architectures import POOL, REFERENCES

    small = networks or tuple(POOL)
    settings = PipelineSettings(
        pool=PoolSettings(
            source=data,
            output=output,
            options=pictures.options(data, mirror=mirror),
            recipe=Recipe(
                epochs=epochs, augmentation=Augmentation(mirror=mirror), precision=precision
            ),
            jobs=jobs,
            command=_command(),
            limits=LIMITS,
        ),
        small=small,
        evaluation=replace(choice, references=references or tuple(REFERENCES)),
        seed=seed,
        finalist_seeds=finalist_seeds,
        distil=distil,
        students=students,
        prefix=model_prefix(data, name),
    )
    return _train(settings)


def _requirement(
    min_accuracy: float | None, max_cost: float | None, cost: Literal["macs", "cpu_us"]
) -> Requirement | None:
    """Return the point of the Pareto front that the user asked for, or None for the default."""
    if min_accuracy is not None and max_cost is not None:
        raise ConfigError("give --min-accuracy or --max-cost, not both")
    if min_accuracy is not None:
        if not 0.0 < min_accuracy <= 1.0:
            raise ConfigError(f"--min-accuracy is {min_accuracy}, expected 0..1")
        return MinAccuracy(accuracy=min_accuracy)
    if max_cost is not None:
        if not max_cost > 0.0:
            raise ConfigError(f"--max-cost is {max_cost}, expected more than 0")
        return MaxCost(cost=max_cost * 1e6 if cost == "macs" else max_cost)
    return None


def _train(settings: PipelineSettings) -> int:
    """Train the pool, and say what came of it."""
    from models.cascade.pipeline import train_cascade as run_pipeline

    with ProgressBar(f"train {settings.prefix}") as bar:

        def show(progress: PoolProgress) -> None:
            done = progress.finished * progress.steps + progress.step
            note = f"{progress.name} {progress.step}/{progress.steps}, loss {progress.loss:.3f}"
            bar.update(done, progress.members * progress.steps, note)

        result = run_pipeline(settings, show)
    _print(result.evaluation)
    sys.stdout.write(f"wrote {result.sidecar} and {result.report}\n")
    return 0


def _choose(
    logits: tuple[Path, ...],
    source: tuple[str, DatasetOptions],
    output: Path,
    settings: EvaluationSettings,
) -> int:
    """Choose and judge a cascade from stored answers about a data set."""
    from models.cascade.report import write_results

    pool = read_pools(logits)
    names = tuple(dict.fromkeys(network.architecture for network in pool.networks))
    large = tuple(name for name in names if name.startswith("wide_residual"))
    settings = replace(settings, references=settings.references or large)
    evaluation = evaluate_cascade(pool, settings)
    images = load_dataset(*source).test
    report = write_results(output, evaluation, images, Provenance.here(_command()))
    _print(evaluation)
    sys.stdout.write(f"wrote {report}\n")
    return 0


def _stop_early(model: str, data: str, output: Path, max_loss: float, seed: int) -> int:
    """Choose, judge and export an early exit of one classifier."""
    from models.cascade.early_exit import (
        EarlyExitSettings,
        assess_early_exit,
        exit_table,
        require_staged,
        stage_table,
        write_early_exit,
    )

    settings = EarlyExitSettings(max_loss=max_loss, seed=seed)
    path = resolve_model(model)
    classifier = require_staged(load_classifier(path, memory="none"), model)
    dataset = load_dataset(data, dataset_options(classifier))
    with ProgressBar(f"train {classifier.info.name}_early_exit") as bar:
        results = assess_early_exit(classifier, dataset, settings, _command(), bar.update)
    classifier.close()
    print_table(stage_table(results))
    print_table(exit_table(results))
    sys.stdout.write(f"wrote {write_early_exit(output, path, results)}\n")
    return 0


def _print(evaluation: CascadeEvaluation) -> None:
    """Print the verdict, pool and choices, as far as a terminal has room, and the notes."""
    from models.cascade.report import verdict_text

    Console().print(f"{verdict_text(evaluation)}.", highlight=False)
    pool = ("network", "parameters", "MACs", "CPU µs", "test %", "ECE before %", "ECE after %")
    choices = (
        "choice", "system", "test %", "asked %", "MACs", "CPU µs", "minus reference",
        "minus best single", "stable %",
    )  # fmt: skip
    print_table(narrowed(pool_table(evaluation), *pool))
    print_table(narrowed(choice_table(evaluation), *choices))
    for note in evaluation.notes:
        Console().print(f"- {note}", highlight=False)


def _command() -> str:
    return shlex.join(["bicameral", *sys.argv[1:]])

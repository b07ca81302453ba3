"""`bicameral train cascade`: from labelled images to a deployable cascade and its report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def train_cascade(
    data: str,
    *,
    output: Path,
    pool: Literal["cnn", "zoo"] = "cnn",
    networks: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    references: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    epochs: int = 12,
    seed: int = 0,
    finalist_seeds: int = 1,
    distil: str | None = None,
    students: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    mirror: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    min_accuracy: float | None = None,
    max_cost: float | None = None,
    cost: Literal["macs", "cpu_us"] = "macs",
    max_usage: float = 0.3,
    memory: Literal["dhash_verified", "exact", "none"] = "dhash_verified",
    name: str | None = None,
    jobs: int = 2,
) -> int:
    """Train a pool of small networks, choose the best pair, export it and explain the choice.

    A run that was killed goes on when the same command is given again. Pairs, thresholds and
    calibration are chosen on validation images; test images only judge what was chosen.

    Args:
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder of the run: networks/, logits/, model/, evaluation.json and report.html.
        pool: Small networks to choose from: the pool of small CNNs, or these and the zoo's. The
            report then says whether a pair with a network of the zoo beats the best one without.
        networks: Small architectures; all of the pool if none is named.
        references: Large single architectures to compare with; all if none is named.
        epochs: Passes over the training images, for every network.
        seed: Seed of the first training of each network.
        finalist_seeds: Trainings of the networks that matter in the end.
        distil: Reference whose answers train small networks a second time.
        students: Small networks to distil; all if none is named.
        mirror: Train on mirrored images too, if the data set allows it.
        precision: Arithmetic of the trainings; bf16 pays only on a processor that has it.
        min_accuracy: Choose the cheapest cascade of at least this validation accuracy, 0..1.
        max_cost: Choose the most accurate cascade of at most this expected cost: millions of
            multiply-accumulates, or microseconds with --cost cpu_us.
        cost: What a network's cost is: multiply-accumulates, or measured CPU time.
        max_usage: Largest share of the images that the second network may see, 0..1.
        memory: Result memory in front of the cascade.
        name: The models' names begin with it; the data set's name if not given.
        jobs: Trainings at a time, one thread each.
    """
    from bicameral.cli.cascade_choice import requirement_from_flags
    from bicameral.cli.cascade_tables import print_evaluation
    from bicameral.cli.extras import require_extra
    from bicameral.cli.model_names import model_prefix
    from bicameral.cli.progress import ProgressBar

    require_extra("train")
    from models.cascade.pipeline import PipelineSettings
    from models.cascade.pipeline import train_cascade as run_pipeline
    from models.cascade.plan import EvaluationSettings
    from models.classifiers.augmentation import Augmentation
    from models.classifiers.export import LIMITS
    from models.classifiers.pool_training import PoolProgress, PoolSettings
    from models.classifiers.training import Recipe
    from models.networks.architectures import POOL, REFERENCES, ZOO
    from models.zoo.catalogue import newcomers

    prefix = model_prefix(data, name)
    small = networks or tuple(POOL | ZOO if pool == "zoo" else POOL)
    settings = PipelineSettings(
        pool=PoolSettings(
            source=data,
            output=output,
            recipe=Recipe(
                epochs=epochs, augmentation=Augmentation(mirror=mirror), precision=precision
            ),
            jobs=jobs,
            command=shlex.join(["bicameral", *sys.argv[1:]]),
            limits=LIMITS,
        ),
        small=small,
        evaluation=EvaluationSettings(
            references=references or tuple(REFERENCES),
            requirement=requirement_from_flags(min_accuracy, max_cost, cost),
            cost=cost,
            max_usage=max_usage,
            zoo=newcomers((*small, *(f"{name}_distilled" for name in small))),
        ),
        seed=seed,
        finalist_seeds=finalist_seeds,
        distil=distil,
        students=students,
        prefix=prefix,
        memory=None if memory == "none" else memory,
    )
    with ProgressBar(f"train {prefix}") as bar:

        def show(progress: PoolProgress) -> None:
            done = progress.finished * progress.steps + progress.step
            note = f"{progress.name} {progress.step}/{progress.steps}, loss {progress.loss:.3f}"
            bar.update(done, progress.members * progress.steps, note)

        result = run_pipeline(settings, show)
    print_evaluation(result.evaluation)
    sys.stdout.write(f"wrote {result.sidecar} and {result.report}\n")
    return 0

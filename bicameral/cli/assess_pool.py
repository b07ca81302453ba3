"""`bicameral assess pool`: choose and judge a cascade from stored logits, without training."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def assess_pool(
    logits: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    *,
    output: Path,
    references: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    data: str = "fashion-mnist",
    seed: int = 0,
    min_accuracy: float | None = None,
    max_cost: float | None = None,
    cost: Literal["macs", "cpu_us"] = "macs",
    max_usage: float = 0.3,
) -> int:
    """Choose the best pair of a trained pool and judge it; writes evaluation.json and report.html.

    Args:
        logits: Folders logits/ of `bicameral train cascade` or of the zoo's study; several are
            one pool, and a network that is in two of them is taken from the first.
        output: Folder for the two files.
        references: Large single networks to compare with; those named wide_residual* by default.
        data: The data set that the pool was trained on, for the report's pictures.
        seed: Seed whose networks decide the choice.
        min_accuracy: Choose the cheapest cascade of at least this validation accuracy, 0..1.
        max_cost: Choose the most accurate cascade of at most this expected cost: millions of
            multiply-accumulates, or microseconds with --cost cpu_us.
        cost: What a network's cost is: multiply-accumulates, or measured CPU time.
        max_usage: Largest share of the images that the second network may see, 0..1.
    """
    from bicameral.cli.cascade_choice import requirement_from_flags
    from bicameral.cli.cascade_tables import print_evaluation
    from models.cascade.evaluation import evaluate_cascade
    from models.cascade.plan import EvaluationSettings
    from models.cascade.report_page import write_results
    from models.classifiers.datasets import load_dataset
    from models.classifiers.logits import read_pools
    from models.zoo.catalogue import newcomers

    pool = read_pools(logits)
    large = references or tuple(
        dict.fromkeys(
            network.architecture
            for network in pool.networks
            if network.architecture.startswith("wide_residual")
        )
    )
    settings = EvaluationSettings(
        references=large,
        requirement=requirement_from_flags(min_accuracy, max_cost, cost),
        cost=cost,
        max_usage=max_usage,
        selection_seeds=(seed,),
        zoo=newcomers(network.architecture for network in pool.networks),
    )
    evaluation = evaluate_cascade(pool, settings)
    command = shlex.join(["bicameral", *sys.argv[1:]])
    report = write_results(output, evaluation, load_dataset(data).test, command)
    print_evaluation(evaluation)
    sys.stdout.write(f"wrote {report}\n")
    return 0

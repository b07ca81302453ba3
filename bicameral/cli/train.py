"""`bicameral train`: train networks and export them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def train_caril(
    data: Annotated[list[Path], Parameter(consume_multiple=True)],
    *,
    output: Path,
    name: str = "caril",
    steps: int | None = None,
    minutes: float | None = None,
    variant: Literal["conditional", "paper"] = "conditional",
    contrast: Literal["none", "standardise"] = "none",
    augmentation: Literal["none", "daylight", "all_weather"] = "daylight",
    weathers: tuple[str, ...] = (),
    seed: int = 0,
    warm_start: Path | None = None,
    threads: int = 1,
) -> int:
    """Train a dual-head network on collected data, calibrate it and export it to ONNX.

    A run that was killed continues from its last checkpoint when the same command is given again,
    and ends with the same weights as an uninterrupted one. Give --steps or --minutes.

    Args:
        data: Folders written by `bicameral collect`.
        output: Folder of the run: checkpoint, log, NAME.onnx and its sidecar.
        name: Name of the exported model.
        steps: Length in optimiser steps.
        minutes: Length in minutes; the number of steps follows from the first ones.
        variant: conditional sees command and speed; paper sees the image only.
        contrast: standardise gives every picture the same mean and contrast inside the graph.
        augmentation: daylight varies exposure; all_weather adds low light and fog.
        weathers: Use only data of these weathers.
        seed: Seed of weights, samples and augmentation.
        warm_start: Checkpoint to begin with.
        threads: Threads of torch.
    """
    from rich.console import Console

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar

    require_extra("train")
    from models.caril.export import ExportSettings, export
    from models.caril.training import TrainingSettings, train
    from models.trainer import TrainingProgress

    settings = TrainingSettings(
        data=tuple(data),
        output=output,
        steps=steps,
        minutes=minutes,
        variant=variant,
        contrast=contrast,
        augmentation=augmentation,
        weathers=weathers,
        seed=seed,
        warm_start=warm_start,
        threads=threads,
    )
    with ProgressBar(f"train {name}") as bar:

        def show(progress: TrainingProgress) -> None:
            note = f"loss {progress.loss:.4f}, {progress.images_per_s:.0f} images/s"
            bar.update(progress.step, progress.steps, note)

        result = train(settings, show)
    command = shlex.join(["bicameral", *sys.argv[1:]])
    exported = export(ExportSettings(training=output, output=output, name=name, command=command))
    fit = result.fit
    console = Console()
    console.print(
        f"trained {result.steps} steps on {result.frames} frames; "
        f"{exported.parameters} parameters, {exported.macs / 1e6:.1f} M multiply-accumulates"
    )
    console.print(
        f"validation ({fit.validation_frames} frames): steering error {fit.steering_mae:.4f} "
        f"(always straight: {fit.zero_steering_mae:.4f}), calibration error "
        f"{fit.ece_before:.3f} -> {fit.ece_after:.3f} at temperature {fit.temperature:.2f}"
    )
    console.print(
        f"wrote {exported.model}; it differs from torch by at most "
        f"{exported.max_difference:.1e} on {exported.checked_images} pictures"
    )
    return 0

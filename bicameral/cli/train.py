"""`bicameral train driver` and `train classifier`: train one network and export it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from bicameral.cli.extras import require_extra
from bicameral.cli.numbers import Seed
from bicameral.cli.progress import ProgressBar
from bicameral.errors import ConfigError
from edge.sidecar import read_sidecar
from models.classifiers.augmentation import Augmentation
from models.data.sources import DatasetOptions, is_image_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFlags:
    """How the pictures of an image folder become what networks see.

    Attributes:
        image_size: Height and width, or one number for both; 32 by 32 if not given.
        color: Colours.
        aspect: Of pictures with other proportions than that, stretch everything or crop to the
            middle.
    """

    image_size: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = ()
    color: Literal["RGB", "GRAY"] | None = None
    aspect: Literal["stretch", "crop"] | None = None

    def options(self, data: str, *, mirror: bool) -> DatasetOptions:
        """Return how to read a data set.

        Args:
            data: Its name or place.
            mirror: Whether the user wants mirrored images too, and so says of pictures of their own
                that a mirrored one keeps its class.

        Raises:
            ConfigError: If the flags do not fit, or the data set's images have a size of their own.
        """
        own = is_image_folder(data)
        if not own and self != FolderFlags():
            raise ConfigError(
                f"{data} is no folder of pictures, so its images keep their size and colours; "
                "leave out --image-size, --color and --aspect"
            )
        if len(self.image_size) > 2:
            raise ConfigError(f"--image-size is {self.image_size}, expected height and width")
        size = self.image_size * (2 // len(self.image_size)) if self.image_size else (32, 32)
        return DatasetOptions(
            image_size=(size[0], size[1]),
            color=self.color or "RGB",
            aspect=self.aspect or "stretch",
            mirror_allowed=True if own and mirror else None,
        )


#: Pictures as they come when nothing is said.
AS_THEY_COME = FolderFlags()


def train_driver(
    data: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    output: Path,
    name: str = "caril",
    steps: int | None = None,
    minutes: float | None = None,
    variant: Literal["conditional", "paper", "path", "pace"] = "conditional",
    contrast: Literal["none", "standardise"] = "none",
    augmentation: Literal["none", "daylight", "all_weather", "rough", "shifted"] = "daylight",
    weathers: tuple[str, ...] = (),
    start: Path | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: Seed = 0,
) -> int:
    """Train a driver's network on collected data, calibrate it and export it to ONNX.

    A run that was killed continues from its last checkpoint when the same command is given again,
    and ends with the same weights as an uninterrupted one. Give --steps or --minutes.

    Args:
        data: Folders written by `bicameral collect`.
        output: Folder of the run: checkpoint, log, NAME.onnx and its sidecar.
        name: Name of the exported model.
        steps: Length in optimiser steps.
        minutes: Length in minutes; the number of steps follows from the first ones.
        variant: conditional sees command and speed; paper sees the image only; path answers with
            the path ahead instead of a steering value; pace answers with how fast others and lights
            let one drive, and learns from `collect --traffic N --walkers M`.
        contrast: standardise gives every picture the same mean and contrast inside the graph.
        augmentation: daylight varies exposure; all_weather adds low light and fog; rough, for
            path only, also a camera mounted askew and covered parts; shifted, for pace only, is
            daylight with pictures moved a little.
        weathers: Use only data of these weathers.
        start: Checkpoint of another training of the same variant to take the weights from.
        precision: Arithmetic of the training; bf16 pays only on a processor that has it.
        seed: Seed of weights, samples and augmentation.
    """
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
        start=start,
        precision=precision,
        seed=seed,
        # Its pictures are larger, so that a step of 128 would take long.
        batch_size=64 if variant == "pace" else 128,
    )
    with ProgressBar(f"train {name}") as bar:

        def show(progress: TrainingProgress) -> None:
            note = f"loss {progress.loss:.4f}, {progress.images_per_s:.0f} images/s"
            bar.update(progress.step, progress.steps, note)

        result = train(settings, show)
    command = shlex.join(["bicameral", *sys.argv[1:]])
    exported = export(ExportSettings(training=output, output=output, name=name, command=command))
    console = Console()
    console.print(
        f"trained {result.steps} steps on {result.frames} frames; "
        f"{exported.parameters} parameters, {exported.macs / 1e6:.1f} M multiply-accumulates"
    )
    console.print(result.fit.describe())
    console.print(
        f"wrote {exported.model}; it differs from torch by at most "
        f"{exported.max_difference:.1e} on {exported.checked_images} pictures"
    )
    return 0


def train_classifier(
    entry: str,
    data: str,
    /,
    *,
    output: Path,
    seed: Seed = 0,
    epochs: int | None = None,
    teachers: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    base: str | None = None,
    mirror: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    memory_saving: bool = False,
    name: str | None = None,
    pictures: Annotated[FolderFlags, Parameter(name="*")] = AS_THEY_COME,
) -> int:
    """Train one classifier, calibrate it on validation images and export it to ONNX.

    A run that was killed goes on when the same command is given again, and ends with the same
    weights as an uninterrupted one. `bicameral zoo` lists what there is.

    Args:
        entry: Name of an architecture, or of a head that uses another classifier's features.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder of the run; the model is written to its sub-folder model/.
        seed: Seed of weights, order and augmentation.
        epochs: Passes over the training images; as the architecture needs if not given.
        teachers: Classifiers whose answers a network learns from, too: shipped names or paths.
        base: For a head: the classifier whose features it uses, a shipped name or a path.
        mirror: Train on mirrored images too, if the data set allows it; of a folder of your own
            pictures you say so.
        precision: Arithmetic of a network's training; bf16 pays only on a processor that has it.
        memory_saving: Keep what the backward pass needs in 8 bits: about a quarter of that memory,
            in return for time.
        name: The model's name begins with it; the data set's name if not given.
        pictures: How the pictures of a folder become images.
    """
    require_extra("train")
    from models.classifiers.export import LIMITS
    from models.zoo.training import ClassifierTraining
    from models.zoo.training import train_classifier as train

    settings = ClassifierTraining(
        entry=entry,
        source=data,
        output=output,
        prefix=model_prefix(data, name),
        options=pictures.options(data, mirror=mirror),
        augmentation=Augmentation(mirror=mirror),
        seed=seed,
        epochs=epochs,
        precision=precision,
        memory_saving=memory_saving,
        teachers=teachers,
        base=base,
        command=shlex.join(["bicameral", *sys.argv[1:]]),
        limits=LIMITS,
    )
    with ProgressBar(f"train {settings.name}") as bar:
        path = train(settings, bar.update)
    sidecar = read_sidecar(path)
    for claim in sidecar.claims:
        interval = "" if claim.ci95 is None else f" [{claim.ci95[0]:.4f}, {claim.ci95[1]:.4f}]"
        sys.stdout.write(
            f"{claim.metric} {claim.value:.4f}{interval} on {claim.n} {claim.split} images\n"
        )
    sys.stdout.write(f"wrote {path}\n")
    return 0


def model_prefix(data: str, name: str | None) -> str:
    """Return what the names of models trained on a data set begin with.

    Args:
        data: Name or place of the data set.
        name: What the user wants instead, or None.

    Raises:
        ConfigError: If it would not make a file name and a URL path without quoting.
    """
    prefix = name or Path(data).stem.replace("-", "_")
    if not prefix.isidentifier():
        raise ConfigError(f"{prefix!r} cannot begin a model's name; give a plain word with --name")
    return prefix

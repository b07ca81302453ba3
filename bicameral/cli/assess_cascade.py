"""`bicameral assess cascade`: what a deployed cascade and its memory do on streams of images."""

from __future__ import annotations

import sys
from pathlib import Path


def assess_cascade(
    model: str,
    *,
    data: str = "fashion-mnist",
    reference: str | None = None,
    images: int | None = None,
    timed: int = 300,
    rounds: int = 3,
    seed: int = 0,
    output: Path | None = None,
) -> int:
    """Measure accuracy, memory hits, multiply-accumulates and CPU time on streams with repeats.

    Images of the test set come again: exactly, appended or interleaved, and as frames of a video
    with noise, changes of brightness and shifts. The cascade runs without a memory and with
    several, beside its first network and a large single network.

    Args:
        model: Name of a shipped cascade, or path of its sidecar.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        reference: Large single network that costs are relative to, by name or path; the costliest
            of the same task beside the cascade if none is given.
        images: Test images to use, a random sample; all if not given.
        timed: Images that the streams are made of when CPU time is taken; the more, the steadier.
        rounds: Rounds of timing; the table shows the median and the range over them.
        seed: Seed of the streams.
        output: Folder to write streams.json to.
    """
    from bicameral.cli.progress import ProgressBar
    from bicameral.cli.stream_tables import print_measurements
    from bicameral.errors import ConfigError
    from models.cascade.assessment import assess_deployed
    from models.cascade.deployed import dataset_options, load_deployed
    from models.cascade.stream_bench import StreamBenchSettings
    from models.cascade.streams_results import STREAMS_NAME, write_measurements
    from models.classifiers.datasets import load_dataset

    for flag, value, least in (("images", images, 2), ("timed", timed, 1), ("rounds", rounds, 1)):
        if value is not None and value < least:
            raise ConfigError(f"--{flag} is {value}, expected at least {least}")
    deployed = load_deployed(model, reference)
    dataset = load_dataset(data, dataset_options(deployed.cascade))
    settings = StreamBenchSettings(seed=seed, timed_originals=timed, rounds=rounds)
    with ProgressBar(f"assess {deployed.cascade.info.name}") as bar:
        measured = assess_deployed(
            deployed, dataset, settings, n_images=images, progress=bar.update
        )
    deployed.close()
    print_measurements(measured)
    if output is not None:
        write_measurements(output / STREAMS_NAME, measured)
        sys.stdout.write(f"wrote {output / STREAMS_NAME}\n")
    return 0

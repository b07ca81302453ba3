"""`bicameral assess` of a cascade: what it answers, beside the large network it replaces."""

from __future__ import annotations

import sys
from pathlib import Path


def assess_cascade(
    model: str,
    /,
    *,
    data: str = "fashion-mnist",
    reference: str | None = None,
    images: int | None = None,
    seed: int = 0,
    output: Path | None = None,
) -> int:
    """Compare a cascade's accuracy and calibration with its networks' and a large network's.

    Differences are paired on the same test images. `bicameral measure` says what it costs.

    Args:
        model: Name of a shipped cascade, or path of its sidecar.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        reference: Large single network to compare with, by name or path; the costliest of the same
            task beside the cascade if none is given.
        images: Test images to use, a random sample; all if not given.
        seed: Seed of the sample.
        output: Folder to write assessment.csv to.
    """
    from rich.console import Console

    from bicameral.cli.progress import ProgressBar
    from bicameral.errors import ConfigError
    from bicameral.files import write_text_atomic
    from bicameral.tables import print_table
    from models.cascade import assessment as judged
    from models.cascade.deployed import load_deployed
    from models.data.sources import load_dataset
    from models.data.task import dataset_options, require_same_task
    from models.measurement.streams import sample_images

    if images is not None and images < 2:
        raise ConfigError(f"--images is {images}, expected at least 2")
    deployed = load_deployed(model, reference)
    dataset = load_dataset(data, dataset_options(deployed.cascade))
    require_same_task(deployed.cascade, dataset)
    test = dataset.test if images is None else sample_images(dataset.test, images, seed)
    with ProgressBar(f"assess {deployed.cascade.info.name}") as bar:
        found = judged.assess_cascade(
            deployed, test, dataset_sha256=dataset.fingerprint, seed=seed, progress=bar.update
        )
    deployed.close()
    print_table(judged.assessment_table(found))
    for note in found.notes:
        Console().print(f"- {note}", highlight=False)
    if output is not None:
        write_text_atomic(output / judged.ASSESSMENT_NAME, judged.assessment_csv(found))
        sys.stdout.write(f"wrote {output / judged.ASSESSMENT_NAME}\n")
    return 0

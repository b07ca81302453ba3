"""Whether a training in float32 depends on what its processor can compute.

oneDNN and torch are told in the environment to leave out instructions that the processor has, so
one machine stands for several. A process trains for each of them, as the command does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from models.classifiers.distillation import predict_logits
from models.classifiers.training import Recipe, TrainingSettings, image_spec, train
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

NETWORKS = ("squeeze16", "residual16", "shuffle16")
IMAGES, FEW = 6400, 256
#: What a processor can do at most, and what tells oneDNN and torch so.
PROCESSORS = {
    "all": {},
    "no bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "no AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
#: Rounding may move a weight of about 0.1 by so much in 50 steps.
MOST = 1e-3


def train_here(network: str, images: int, result: Path) -> None:
    """Train for an epoch; keep the weights, and the answers for the validation images."""
    dataset = fashion_mnist(images)
    recipe = Recipe(epochs=1)
    with TemporaryDirectory() as folder:
        settings = TrainingSettings(architecture=network, output=Path(folder), recipe=recipe)
        trained = train(settings, dataset)
    weights = torch.cat([value.flatten().double() for value in trained.state_dict().values()])
    answers = predict_logits(trained, dataset.validation.images, image_spec(dataset))
    np.savez(result, weights=weights.numpy(), answers=answers)


def run(folder: Path, quick: bool) -> int:
    """Train every network as every processor would, and compare."""
    found = Measured()
    images = FEW if quick else IMAGES
    # The shortest look is at what the claim names: bfloat16.
    processors = dict(list(PROCESSORS.items())[:2]) if quick else PROCESSORS
    for network in NETWORKS[:1] if quick else NETWORKS:
        trained = {name: _trained(network, images, of) for name, of in processors.items()}
        weights, answers = trained.pop("all")
        for name, (others, answered) in trained.items():
            moved = np.abs(others - weights)
            found[network, name, "most_moved"] = single(moved.max(), n=len(weights))
            found[network, name, "median_moved"] = single(np.median(moved), n=len(weights))
            other = (answered.argmax(axis=1) != answers.argmax(axis=1)).mean()
            found[network, name, "other_answers"] = single(other, n=len(answers))
    write_measurements(folder / "training_instructions.csv", found)
    print_measurements(found)
    without = [of.value or 0.0 for (_, name, quantity), of in found.items()
               if (name, quantity) == ("no bfloat16", "most_moved")]  # fmt: skip
    return int(max(without) > MOST)


def _trained(network: str, images: int, variables: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Train in a process of its own, because the libraries look once."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "trained.npz"
        command = [sys.executable, "-m", __name__, network, str(images), str(result)]
        subprocess.run(command, check=True, env=os.environ | variables)
        with np.load(result) as arrays:
            return arrays["weights"], arrays["answers"]


STUDY = Study(
    claim=(
        "A training in float32 ends with the same weights, up to rounding, whether the processor "
        "has bfloat16 or not."
    ),
    setting=(
        f"a processor with AVX-512 and bfloat16; the first {IMAGES:,} training images of "
        f"FashionMNIST, 50 steps of {', '.join(NETWORKS)}; seed 0; three minutes"
    ),
    run=run,
    needs=NEEDS,
)

if __name__ == "__main__":
    train_here(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

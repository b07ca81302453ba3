"""One network that describes frames of drives and finds them, by an adapter (2603.28554).

A decoder learns to describe frames (`hydra_training.py`), is frozen, and an adapter makes the same
decoder a retriever. Judged is whether it describes as before with the adapter off, bit for bit,
what breaks that, and whether it finds frames of towns it was not trained on as well as a twin, all
of whose weights learned to find and nothing else, in more steps than the adapter. ``DRIVES`` in the
environment names folders of `bicameral collect --traffic`, separated by colons. Written are the
network that ships, `drive_reader.onnx`, and its sidecar.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bicameral.charts import Axis, Chart, Figure, Ink, Series, draw_chart
from bicameral.errors import ConfigError
from bicameral.statistics import Estimate, share
from bicameral.types import RoadOption
from edge.drives.reader import DriveReader as RunningReader
from edge.drives.reader import DriveReaderSpec
from edge.session import OnnxSession
from edge.sidecar import SUFFIX, TrainingData, TrainingRecord
from edge.sidecar import Claim as ModelClaim
from models.drives.captions import KINDS, UNKNOWN, VOCABULARY, caption, draw_query, fits
from models.drives.export import onnx_from_reader, spec_of
from models.drives.network import DriveDescriber, DriveReader
from studies.claims import Claim, Paper
from studies.measurements import Measured, single
from studies.paper_runs import Findings, study_of
from studies.papers.hydra_training import (
    Frames,
    compare_frames,
    compare_queries,
    late_interaction,
    random_frames,
    read_frames,
    train_reader,
    train_twin,
    trunk,
)

#: No network here learned from them, nor the trunk from the first two.
HELD_OUT = ("Valley", "Varied13", "Varied11", "Varied12")
_FIRST, _SHOWN = 5, (1, 2, 3, 5, 10)
_NAME = "drive_reader"
_COMMANDS = (RoadOption.LANE_FOLLOW, RoadOption.LEFT, RoadOption.RIGHT, RoadOption.STRAIGHT)
#: Loads so many graphs, reads a frame with each, and prints the most memory it ever had, kB.
_PEAK = r"""
import re, sys
import numpy as np
from edge.session import OnnxSession
shapes = {"image": (1, 3, 64, 160), "command": (1, 4), "past": (1, 4, 0, 64)}
kept = []
for path in sys.argv[1:]:
    session = OnnxSession(open(path, "rb").read(), name=path)
    feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    feeds["words"] = np.zeros((1, 0), np.int64)
    for on in (False, True):
        if any(one.name == "adapter" for one in session.inputs):
            feeds["adapter"] = np.array(on)
        session.run(feeds)
    kept.append(session)
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
"""


class _Graph(OnnxSession):
    """A graph that keeps a digest of all that it says, and may lack the adapter."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, name=_NAME)
        self.digest = hashlib.sha256()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = {one.name for one in self.inputs}
        said = super().run({name: one for name, one in feeds.items() if name in names})
        self.digest.update(said["logits"].tobytes())
        return said


class _AdapterInCache(_Graph):
    """Reads frames with the adapter on, as if what was kept of a search could be described."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return super().run({**feeds, "adapter": np.array(feeds["words"].shape[1] == 0)})


class _NotCausal(DriveReader):
    """Attention stays as the adapter has it when it is off."""

    def allowed(self, causal: Tensor, adapter: Tensor | None) -> Tensor:
        return torch.ones_like(causal)


def measure(quick: bool) -> Findings:
    """Train the networks and compare them."""
    frames = random_frames(80, (*HELD_OUT, "Elsewhere")) if quick else read_frames(_drives())
    learned, held_out = frames.of(HELD_OUT, others=True), frames.of(HELD_OUT)
    steps = (2, 2) if quick else (350, 200)
    reader, twin = train_reader(learned, steps, seed=0), train_twin(learned, steps[0], seed=0)
    graph = onnx_from_reader(reader)
    measured: Measured = {}
    for name, network in (("one network", reader), ("twin", twin)):
        measured |= found_frames(network, held_out, 20 if quick else 500, name)
    described = min(8 if quick else 1000, len(held_out))
    training = _training_record(learned)
    spec = spec_of(_NAME, graph, training, tuple(sorted({*learned.towns.tolist()})), ())
    measured |= _described_rightly(_running(spec, _Graph(graph)), held_out, described)
    base = onnx_from_reader(_base(reader))
    counts = (described, 8 if quick else 100)
    claims = _same_bits(spec, reader, (graph, base), held_out, counts)
    hits = [measured[name, f"first {_FIRST}", "recall"] for name in ("one network", "twin")]
    claims["recall"] = single((hits[0].value or 0.0) / (hits[1].value or 1.0), n=hits[0].n)
    measured["one network", "", "file"] = single(len(graph), "B")
    measured["base", "", "file"] = single(len(base), "B")
    claims["file"] = single(len(graph) / (2 * len(base)))
    if not quick:
        claims["memory"] = _memory(graph, base, measured)
    told = ModelClaim(
        metric="recall at 5 of queries of one to four facts",
        value=hits[0].value or 0.0,
        ci95=(hits[0].low or 0.0, hits[0].high or 0.0),
        n=hits[0].n,
        seeds=1,
        split=f"towns {', '.join(HELD_OUT)}",
        command="python -m studies hydra",
    )
    whole = spec.model_copy(update={"claims": (told,)})
    sidecar = whole.model_dump_json(indent=2) + "\n"
    graphs = {f"{_NAME}.onnx": graph, f"{_NAME}{SUFFIX}": sidecar.encode()}
    return Findings(claims=claims, figure=_figure(measured), measured=measured, graphs=graphs)


def _drives() -> list[Path]:
    folders = [Path(one) for one in os.environ.get("DRIVES", "").split(os.pathsep) if one]
    if not folders:
        raise ConfigError("DRIVES is not set; it names folders of `bicameral collect --traffic`")
    return folders


def _training_record(frames: Frames) -> TrainingRecord:
    digest = hashlib.sha256(frames.pictures.tobytes() + frames.facts.tobytes()).hexdigest()
    return TrainingRecord(
        command="python -m studies hydra",
        data=TrainingData(name="scenes among others", sha256=digest),
        split="by town",
        seed=0,
        precision="fp32",
    )


@torch.inference_mode()
def found_frames(network: DriveReader, frames: Frames, count: int, name: str) -> Measured:
    """Search for queries that are drawn from frames, among all of them.

    A query finds a frame if all that it asks for is true of it, whichever frame it was drawn from.
    """
    draw = np.random.default_rng(7)
    queries = [draw_query(frames.facts[i], draw) for i in draw.integers(len(frames), size=count)]
    fitting = fits(np.stack([asked for _, asked in queries]), frames.facts)
    vectors = compare_frames(network, frames, np.arange(len(frames)))
    scores = [late_interaction(compare_queries(network, [text]), vectors) for text, _ in queries]
    first = torch.cat(scores).topk(max(_SHOWN), dim=1).indices.numpy()
    hits = np.take_along_axis(fitting, first, axis=1)
    missed = 1.0 - fitting.mean(axis=1)
    measured: Measured = {}
    for shown in _SHOWN:
        found = int(hits[:, :shown].any(axis=1).sum())
        measured[name, f"first {shown}", "recall"] = share(found, count)
        by_chance = float(np.mean(1.0 - missed**shown))
        measured["chance", f"first {shown}", "recall"] = single(by_chance, n=count)
    fit = float(hits[:, :_FIRST].mean())
    measured[name, f"first {_FIRST}", "frames that fit"] = single(fit, n=count)
    measured["chance", f"first {_FIRST}", "frames that fit"] = single(fitting.mean(), n=count)
    return measured


def _running(spec: DriveReaderSpec, graph: _Graph) -> RunningReader:
    """Return a reader that takes pictures which are cropped already."""
    image = spec.input.image.model_copy(update={"crop": None})
    told = spec.input.model_copy(update={"image": image})
    return RunningReader(spec.model_copy(update={"input": told}), graph)


def _sentences(reader: RunningReader, frames: Frames, count: int) -> list[list[int]]:
    chosen = np.linspace(0, len(frames) - 1, count).astype(int)
    options = [int(_COMMANDS[int(frames.commands[i].argmax())]) for i in chosen]
    return [
        reader.numbers(frames.pictures[i], option)
        for i, option in zip(chosen, options, strict=True)
    ]


def _described_rightly(reader: RunningReader, frames: Frames, count: int) -> Measured:
    """Return, of each kind of fact, how often the sentence about it is right."""
    said = _sentences(reader, frames, count)
    facts = frames.facts[np.linspace(0, len(frames) - 1, count).astype(int)]
    stop = VOCABULARY.numbers(".")[0]
    measured: Measured = {}
    for kind, name in enumerate(KINDS):
        known = facts[:, kind] != UNKNOWN
        right = 0
        for one, numbers in zip(facts[known], np.array(said, object)[known], strict=True):
            alone = [one[kind] if k == kind else UNKNOWN for k in range(len(KINDS))]
            wanted = VOCABULARY.numbers(caption(alone))[:-1]
            text = " ".join(map(str, [stop, *numbers]))
            right += f"{stop} {' '.join(map(str, wanted))} {stop}" in text
        most = int(np.bincount(facts[known, kind]).max())
        measured["one network", name, "sentences that are right"] = share(right, int(known.sum()))
        measured["commonest", name, "sentences that are right"] = share(most, int(known.sum()))
    return measured


def _base(reader: DriveReader) -> DriveDescriber:
    base = DriveDescriber(trunk())
    base.load_state_dict(
        {n: one for n, one in reader.state_dict().items() if n in base.state_dict()}
    )
    return base.eval()


def _same_bits(
    spec: DriveReaderSpec,
    reader: DriveReader,
    graphs: tuple[bytes, bytes],
    frames: Frames,
    counts: tuple[int, int],
) -> dict[str, Estimate]:
    """Compare sentences and logits with those of the base; then with each requirement broken.

    Args:
        spec: Of the reader.
        reader: The network.
        graphs: Of the reader, and of its base.
        frames: To describe.
        counts: How many, first and then.
    """
    not_causal, headless = _NotCausal(trunk()), DriveReader(trunk())
    not_causal.load_state_dict(reader.state_dict())
    state = {n: one for n, one in reader.state_dict().items() if not n.startswith("head.")}
    headless.load_state_dict(state, strict=False)
    graph, base = graphs
    count, broken = counts

    def same(other: _Graph, of: int) -> Estimate:
        graphs = (_Graph(base), other)
        ours, theirs = (_running(spec, one) for one in graphs)
        equal = 0
        for place in np.linspace(0, len(frames) - 1, of).astype(int):
            picture = frames.pictures[place]
            said = ours.numbers(picture) == theirs.numbers(picture)
            equal += said and graphs[0].digest.digest() == graphs[1].digest.digest()
            for one in graphs:
                one.digest = hashlib.sha256()
        # Equal bits are no sample of anything, so the share has no interval.
        return single(equal / of, n=of)

    return {
        "identical": same(_Graph(graph), count),
        "attention": same(_Graph(onnx_from_reader(not_causal.eval())), broken),
        "head": same(_Graph(onnx_from_reader(headless.eval())), broken),
        "cache": same(_AdapterInCache(graph), broken),
    }


def _memory(graph: bytes, base: bytes, measured: Measured) -> Estimate:
    """Return the most memory that one network takes, by that of two, beside the runtime's own."""
    with tempfile.TemporaryDirectory() as folder:
        one, plain = Path(folder, "one.onnx"), Path(folder, "base.onnx")
        one.write_bytes(graph)
        plain.write_bytes(base)

        def peak(*paths: Path) -> float:
            words = [sys.executable, "-c", _PEAK, *map(str, paths)]
            kept = [
                float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
                for _ in range(3)
            ]
            return float(np.median(kept))

        nothing = peak()
        taken = peak(one) - nothing, peak(plain, plain) - nothing
    measured["one network", "", "memory"] = single(taken[0], "kB", 3)
    measured["two networks", "", "memory"] = single(taken[1], "kB", 3)
    return single(taken[0] / taken[1], n=3)


def _figure(measured: Measured) -> Figure:
    inks: dict[str, Ink] = {"one network": "a", "twin": "b", "chance": "cascade"}
    return draw_chart(
        Chart(
            title="Queries that find a frame that fits, in towns that were not trained on",
            x=Axis(label="frames shown", log=True),
            y=Axis(label="share of the queries", low=0.0, high=1.05),
            series=[
                Series(
                    name=name,
                    x=[float(shown) for shown in _SHOWN],
                    y=[measured[name, f"first {one}", "recall"].value or 0.0 for one in _SHOWN],
                    ink=ink,
                    line="-",
                )
                for name, ink in inks.items()
            ],
        )
    )


_BROKEN = "share of the sentences and logits that stay the same bits"
STUDY = study_of(
    Paper(
        title="Hydra: unifying document retrieval and generation in a single vision-language model",
        arxiv="2603.28554",
        claims={
            "identical": Claim(
                text="With the adapter off the network describes as its base does: share of "
                "sentences whose words and logits are the same bits",
                threshold=1.0,
                published="10,500 of 10,500 (version 1)",
            ),
            "attention": Claim(
                text=f"It needs causal attention restored; without: {_BROKEN}",
                relation="at most",
                published="required",
            ),
            "head": Claim(
                text=f"It needs the head over words kept; with a fresh one: {_BROKEN}",
                relation="at most",
                published="required",
            ),
            "cache": Claim(
                text="It needs what was read before kept as the base read it; as the adapter did: "
                + _BROKEN,
                relation="at most",
                published="required",
            ),
            "recall": Claim(
                text="It finds as well as a twin that learned nothing else: ratio of the shares of "
                "queries that find a frame among the first 5, in towns not trained on",
                threshold=0.9,
                published="matches",
            ),
            "file": Claim(
                text="One file instead of two: its size by theirs",
                relation="at most",
                threshold=0.6,
            ),
            "memory": Claim(
                text="Memory beside the runtime's own, by that of two networks",
                relation="at most",
                threshold=0.6,
                published="41 % less (version 1), 62.7 % less (version 3)",
            ),
            "joint": Claim(
                text="Trained together both learn to find, but the adapter's sentences collapse",
                untested="only the frozen base is trained for here",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="One network with an adapter finds frames and describes them as two networks would.",
    setting="One thread a training on a shared AMD EPYC; n = 1 training each (seed 0), of 5,120 "
    "frames of 11 towns, judged by 500 queries and 1,000 sentences on 1,320 frames of 4 others; "
    "3 CPU-minutes.",
    needs="DRIVES: folders of `bicameral collect --traffic N --scenes M`",
)

"""What a text's length costs each way to mix its tokens (2302.06218), and attention shared out.

CPU time of one text, the mixers in turn and each several times, in torch and as an ONNX graph. The
exponents are those of the three longest lengths alone: below them, what every call costs, and with
attention what every token costs, is too large a part. Mixers without pairs get longer texts for
that. Attention over two processes is held against attention in one. And pictures are read as
sequences of smaller and smaller patches, to see whether longer sequences make better answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import Estimate, mean, median, slope
from edge.session import OnnxSession
from models.mixers.attention import HeadShape
from models.mixers.dual_stream import DualStreamBlock
from models.networks.byte_model import BYTE_BLOCKS, DUAL_BLOCKS
from models.onnx_export import onnx_from_network
from studies.claims import Claim, Paper
from studies.images import NEEDS
from studies.measurements import Measured, single
from studies.paper_runs import Findings, study_of
from studies.papers.picture_sequences import accuracies, load_pictures
from studies.papers.ring_attention import Problem, attention_over_processes, whole_attention

_WIDTH, _HEADS = 64, 4
_LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
#: Of mixers that compare no pairs.
_LONGER = (8192, 16_384)
#: As many of the longest count for the exponent.
_LONGEST = 3
_REPEATS = 9
_INKS: dict[str, Ink] = {
    **dict(zip(BYTE_BLOCKS, ("a", "b", "cascade", "reference"), strict=True)),
    "dual_kronecker": "soft",
}
_QUADRATIC = ("attention", "dual_kronecker")
_RUNNERS = ("torch", "ONNX Runtime")

_RING = Problem(heads=4, tokens=2048, size=16)
_RING_LIMIT_S = 300.0

_KINDS = tuple(BYTE_BLOCKS)
#: Patches of a picture, by the side of each in pixels.
_PATCHES = {4: 49, 2: 196}


def measure(quick: bool) -> Findings:
    """Time every mixer at every length, and share attention out over two processes."""
    repeats, runners = (2, _RUNNERS[:1]) if quick else (_REPEATS, _RUNNERS)
    spent: dict[tuple[str, str], dict[int, list[float]]] = {}
    for length in _LENGTHS[:_LONGEST] if quick else (*_LENGTHS, *_LONGER):
        kinds = [kind for kind in _INKS if kind not in _QUADRATIC or length <= _LENGTHS[-1]]
        calls = {key: call for kind in kinds for key, call in _calls(kind, length, runners).items()}
        for repeat in range(repeats + 1):
            for key, call in calls.items():
                begin = time.process_time()
                call()
                if repeat:  # the first warms up
                    found = spent.setdefault(key, {}).setdefault(length, [])
                    found.append((time.process_time() - begin) * 1e3)
    measured: Measured = {
        (f"{kind}, {runner}", f"{length} tokens", "CPU time"): median(found, "ms")
        for (kind, runner), of in spent.items()
        for length, found in of.items()
    }
    exponents = {key: _exponent(of) for key, of in spent.items()}
    for (kind, runner), exponent in exponents.items():
        measured[f"{kind}, {runner}", "", "exponent"] = exponent
    claims = _exponent_claims(exponents, runners)
    if not quick:  # its test starts processes, too
        claims["ring"] = _ring_error(measured)
    claims["long context"] = _gain(quick, measured)
    chart = Chart(
        title="CPU time of one text by its length, in torch",
        x=Axis(label="tokens", log=True),
        y=Axis(label="CPU time, ms", log=True),
        series=[
            Series(
                name=kind,
                x=list(spent[kind, "torch"]),
                y=[float(np.median(found)) for found in spent[kind, "torch"].values()],
                ink=ink,
                line="-",
            )
            for kind, ink in _INKS.items()
        ],
    )
    return Findings(claims=claims, figure=draw_chart(chart), measured=measured)


def _calls(
    kind: str, length: int, runners: Sequence[str]
) -> dict[tuple[str, str], Callable[[], object]]:
    """Return what maps one text of a length, by kind and runner."""
    shape = HeadShape(tokens=length, heads=_HEADS, width=_WIDTH, causal=True)
    mixer = DUAL_BLOCKS[kind](shape) if kind in DUAL_BLOCKS else BYTE_BLOCKS[kind].mixer(shape)
    mixer.eval().requires_grad_(False)
    streams = 2 if isinstance(mixer, DualStreamBlock) else 1
    text = torch.randn(1, length, streams * _WIDTH)
    calls: dict[tuple[str, str], Callable[[], object]] = {(kind, "torch"): partial(mixer, text)}
    if "ONNX Runtime" in runners:
        session = OnnxSession(onnx_from_network(mixer, {"x": text}, ("mixed",)), name=kind)
        calls[kind, "ONNX Runtime"] = partial(session.run, {"x": text.numpy()})
    return calls


def _exponent(spent: dict[int, list[float]]) -> Estimate:
    """Estimate the exponent of the longest lengths; the median of a line for each repeat."""
    longest = list(spent)[-_LONGEST:]
    places = [math.log(length) for length in longest]
    steep = [
        slope(places, [math.log(one) for one in times], "1").value or 0.0
        for times in zip(*(spent[length] for length in longest), strict=True)
    ]
    return median(steep)


def _exponent_claims(
    exponents: dict[tuple[str, str], Estimate], runners: Sequence[str]
) -> dict[str, Estimate]:
    """Return how far attention is from 2 and, of the others, the farthest from 1."""
    claims = {}
    for runner in runners:
        off = [
            _distance(one, 1.0)
            for (kind, by), one in exponents.items()
            if by == runner and kind not in _QUADRATIC
        ]
        claims[f"attention, {runner}"] = _distance(exponents["attention", runner], 2.0)
        claims[f"others, {runner}"] = max(off, key=lambda one: one.value or 0.0)
    return claims


def _distance(exponent: Estimate, expected: float) -> Estimate:
    value, low, high = (
        (one or 0.0) - expected for one in (exponent.value, exponent.low, exponent.high)
    )
    nearest = 0.0 if low < 0.0 < high else min(abs(low), abs(high))
    farthest = max(abs(low), abs(high))
    return Estimate(value=abs(value), low=nearest, high=farthest, n=exponent.n)


def _ring_error(measured: Measured) -> Estimate:
    """Return the largest difference between attention of two processes and of one."""
    begin = time.monotonic()
    found = attention_over_processes(_RING, 2, _RING_LIMIT_S)
    measured["ring, 2 processes", f"{_RING.tokens} tokens", "wall time with their start"] = single(
        time.monotonic() - begin, "s"
    )
    return single(float((found - whole_attention(*_RING.drawn())).abs().max()))


def _gain(quick: bool, measured: Measured) -> Estimate:
    """Return how much more often pictures of 196 patches are named rightly than those of 49."""
    images, steps, kinds = ((20, 20), 2, _KINDS[:2]) if quick else ((8000, 2000), 250, _KINDS)
    data = load_pictures(*images)
    gains = []
    for kind in kinds:
        found = [accuracies(kind, side, data, steps, seeds=2) for side in _PATCHES]
        for count, right in zip(_PATCHES.values(), found, strict=True):
            measured[kind, f"{count} patches", "accuracy"] = mean(right)
        gains += [longer - shorter for shorter, longer in zip(*found, strict=True)]
    return mean(gains)


STUDY = study_of(
    Paper(
        title="A unified view of long-sequence models towards modeling million-scale dependencies",
        arxiv="2302.06218",
        claims={
            **{
                f"attention, {runner}": Claim(
                    text=f"Attention takes time with the square of the length: distance of the "
                    f"exponent from 2 in {runner}, 1,024 to 4,096 tokens",
                    relation="at most",
                    threshold=0.15,
                    published="quadratic",
                )
                for runner in _RUNNERS
            },
            **{
                f"others, {runner}": Claim(
                    text="Planes, linear attention and random features take time with the length: "
                    f"largest distance of an exponent from 1 in {runner}, 4,096 to 16,384 tokens",
                    relation="at most",
                    threshold=0.15,
                    published="linear",
                )
                for runner in _RUNNERS
            },
            "ring": Claim(
                text="Attention over two processes, keys and values going round, is exact: largest "
                "difference from one process, values of about 1",
                relation="at most",
                threshold=1e-5,
                published="exact; almost 40 times as fast on four GPUs as plain attention",
            ),
            "long context": Claim(
                text="Longer contexts make better answers, depending on the task: accuracy with "
                "pictures of 196 patches less that with 49, mean over four mixers",
                published="better in some tasks",
            ),
            "longer context": Claim(
                text="The same with 784 patches of a pixel each",
                untested="a step of attention would take seconds on one core",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Attention takes time with the square of a text's length and the other mixers with the "
    "length; attention over two processes is exact; longer sequences make better answers.",
    setting="One thread of a shared AMD EPYC under load, CPU time; n = 9 repeats of 5 mixers of "
    "width 64 at 7 to 9 lengths, exponents over the longest 3; n = 2 trainings (seeds 0, 1) of 4 "
    "mixers at 2 lengths, 250 steps of 32 pictures, judged by 2,000; 6 CPU-minutes.",
    needs=NEEDS,
)

"""`bicameral diagnose`: what a network is like inside, and how alike two are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from bicameral.cli.extras import require_extra
from bicameral.cli.model_samples import read_samples
from bicameral.files import write_text_atomic
from edge.shipped import resolve_model
from edge.sidecar import read_networks

#: Samples that are looked at: enough for a rare class, few enough for a minute.
_SAMPLES = 5000


def diagnose(
    model: str,
    other: str | None = None,
    /,
    *,
    data: str | None = None,
    output: Path = Path("diagnosis.html"),
) -> int:
    """Look into a network and write what fits it to one page.

    How its classes lie in the features before the last layer, and which are lost there; what each
    attention head is worth; which experts its pictures take. Of two networks, or of a cascade's
    first two, how alike they are inside. Any ONNX file with a sidecar will do.

    Args:
        model: Name of a shipped model, or path of a model or its sidecar.
        other: Another network, to compare it with.
        data: Data set, folder, or driving data, whose test part is looked at; by default the data
            set that the model was trained on if it is known by name, else random images.
        output: The page.
    """
    require_extra("export")
    from bicameral.page import render_page
    from models.diagnosis.graph import OpenGraph
    from models.diagnosis.report import diagnose as look_into

    networks = read_networks(resolve_model(model))
    if other is not None:
        networks = dict(list(networks.items())[:1]) | read_networks(resolve_model(other))
    graphs = [OpenGraph.load(path, sidecar) for path, sidecar in list(networks.items())[:2]]
    samples = read_samples(graphs[0].sidecar, data, "test", _SAMPLES)
    page = look_into(graphs, samples, shlex.join(["bicameral", *sys.argv[1:]]))
    write_text_atomic(output, render_page(page))
    for sentence in page.sentences:
        sys.stdout.write(f"- {sentence}\n")
    sys.stdout.write(f"wrote {output}\n")
    return 0

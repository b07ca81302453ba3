"""`bicameral deploy`: from a trained model to a folder for a Jetson."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge.jetson.bundle import CorrectionName, JetsonName, JetsonPrecision

if TYPE_CHECKING:
    from edge.jetson.bundle import Bundle


def deploy(
    model: str,
    *,
    target: JetsonName,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    second: str | None = None,
    correction: CorrectionName | None = None,
    precision: JetsonPrecision = "fp16",
) -> int:
    """Write a folder that a Jetson runs: graphs, sidecars, the runtime, instructions, checksums.

    Every graph is checked against the rules of the device first. The folder needs nothing from a
    network; its README.md says what to do with it.

    Args:
        model: Name of a shipped model, or path of a model or its sidecar: a classifier, a cascade
            or a driving agent.
        target: jetson-nano or jetson-orin.
        output: The folder to write; it must not be there, or be empty.
        second: A second driving agent, for the correction second_opinion.
        correction: none, paper or second_opinion; by default second_opinion with --second.
        precision: What the device computes in; fp16 or fp32.
    """
    from edge.jetson.bundle import BundleRequest, write_bundle
    from edge.shipped import resolve_model

    request = BundleRequest(
        model=resolve_model(model),
        target=target,
        second=None if second is None else resolve_model(second),
        correction=correction,
        precision=precision,
    )
    _print(write_bundle(request, output))
    return 0


def _print(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(title=escape(str(bundle.folder)), title_justify="left")
    table.add_column("file")
    table.add_column("KiB", justify="right")
    for name, size in bundle.files.items():
        table.add_row(escape(name), f"{size / 1024:.1f}")
    console.print(table)
    for name, findings in bundle.warnings.items():
        for finding in findings:
            console.print(escape(f"{name}: {finding}"))
    console.print("Copy the folder to the device and follow its README.md.")

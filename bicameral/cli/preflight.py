"""`bicameral preflight`: is this ONNX file one that the target reads, and reads right?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bicameral.cli.exit_codes import FINDINGS_EXIT_CODE
from edge.targets import TargetName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.preflight import Finding


def preflight(
    models: Annotated[list[str], Parameter(consume_multiple=True)],
    *,
    target: TargetName,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Check ONNX files against everything that is known of a target, without the device.

    The exit code is 1 if there is an error; warnings alone leave it at 0.

    Args:
        models: ONNX files, sidecars, or names of shipped models.
        target: onnxruntime, jetson-nano, jetson-orin or tensorrt.
        as_json: Print one JSON object per file instead of tables.
    """
    from edge.preflight import has_errors
    from edge.preflight import preflight as check

    failed = False
    for path in (path for model in models for path in _files(model)):
        findings = check(path, target)
        failed = failed or has_errors(findings)
        if as_json:
            record = {
                "file": str(path),
                "target": target,
                "findings": [asdict(finding) for finding in findings],
            }
            sys.stdout.write(json.dumps(record) + "\n")
        else:
            print_findings(path.name, target, findings)
    return FINDINGS_EXIT_CODE if failed else 0


def print_findings(name: str, target: str, findings: Sequence[Finding]) -> None:
    """Print a table of findings, or a line that there are none."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not findings:
        console.print(escape(f"{name} for {target}: nothing found"))
        return
    table = Table(title=escape(f"{name} for {target}"), title_justify="left", show_lines=True)
    for column in ("severity", "where", "rule", "what is wrong", "what to change"):
        table.add_column(column, overflow="fold", no_wrap=column in ("severity", "rule"))
    for finding in findings:
        where = f"{finding.operator} {finding.node}".strip() or "the file"
        cells = (finding.severity, where, finding.rule, finding.message, finding.advice)
        table.add_row(*map(escape, cells))
    console.print(table)


def _files(model: str) -> list[Path]:
    """Return the ONNX files of a name or path; a cascade's are those of its members."""
    from edge.shipped import resolve_model
    from edge.sidecar import SUFFIX, read_sidecar

    path = resolve_model(model)
    if not path.name.endswith(SUFFIX):
        return [path]
    sidecar = read_sidecar(path)
    if sidecar.cascade is None:
        return [path.with_name(file.path) for file in sidecar.files]
    beside = [path.with_name(member.name + SUFFIX) for member in sidecar.cascade.members]
    return [file for one in beside for file in _files(str(one))]

"""The way of a preflight: read the file, check it as ONNX, then by the target's rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from bicameral.errors import MissingExtraError, unknown_name
from edge.preflight.findings import Finding, finding, has_errors
from edge.preflight.graph import GraphView
from edge.preflight.quantization import check_quantization
from edge.preflight.reading import check_external_data, check_sidecar, check_validity, parse_model
from edge.preflight.tensorrt import check_graph, check_nodes, check_tensors
from edge.targets import TARGETS, Target, TargetName

_log = logging.getLogger(__name__)


def preflight(path: Path, target: TargetName) -> tuple[Finding, ...]:
    """Check an ONNX file against everything that is known of a target.

    Args:
        path: The ONNX file; a sidecar beside it is compared with it.
        target: Name in `edge.targets.TARGETS`.

    Returns:
        All findings, errors first; empty if there is nothing to say.

    Raises:
        DataError: If the file cannot be opened. Damaged content is a finding.
        MissingExtraError: If the package `onnx` is absent.
        UserError: If there is no such target.
    """
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    try:
        import onnx  # noqa: F401 - the rules import it where they need it
    except ImportError as error:
        raise MissingExtraError("onnx", "export") from error
    findings = list(_findings(path, TARGETS[target]))
    _log.debug("%s for %s: %d findings", path, target, len(findings))
    return tuple(sorted(findings, key=lambda one: one.severity != "error"))


def _findings(path: Path, target: Target) -> Iterator[Finding]:
    model, unreadable = parse_model(path)
    if model is None:
        yield from unreadable
        return
    view = GraphView(model)
    incomplete = list(check_external_data(path, model))
    yield from incomplete
    # The checker opens external files itself and would only say the same again.
    invalid = [] if incomplete else list(check_validity(path))
    yield from invalid
    yield from check_sidecar(path, view)
    if target.parser is None:
        if not incomplete and not has_errors(invalid):
            yield from _check_loading(path)
        return
    for rule in (check_graph, check_nodes, check_tensors):
        yield from rule(view, target.parser)
    yield from check_quantization(view, target)


def _check_loading(path: Path) -> Iterator[Finding]:
    """Let ONNX Runtime load the file: it is the target, and it is here."""
    from edge.session import load_error

    problem = load_error(path)
    if problem is not None:
        yield finding(
            "",
            "not-loadable",
            f"ONNX Runtime cannot load {path.name}: {problem}",
            "export it with an older opset, or with operators that ONNX Runtime has",
        )

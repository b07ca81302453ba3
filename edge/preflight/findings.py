"""What a preflight finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, Literal, ParamSpec

from edge.preflight.graph import node_name

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing in a graph that the target cannot read, or would read wrongly.

    Attributes:
        severity: ``error``: it fails or answers wrongly there; ``warning``: it needs attention.
        rule: Short name of the rule, e.g. ``ignored-axes``.
        node: Name of the node (of its first output where it has none), of the tensor, or empty for
            the whole file.
        operator: The node's operator, or empty.
        message: What is wrong, and what the target does with it.
        advice: What to change.
    """

    severity: Severity
    rule: str
    node: str
    operator: str
    message: str
    advice: str

    @property
    def where(self) -> str:
        """Operator and node; empty for the whole file."""
        return f"{self.operator} {self.node}".strip()

    def __str__(self) -> str:
        """Return it as one line."""
        where = f"{self.where}: " if self.where else ""
        return f"{self.severity} [{self.rule}] {where}{self.message}; {self.advice}"


def finding(
    about: Any, rule: str, message: str, advice: str, *, severity: Severity = "error"
) -> Finding:
    """Return a finding about a node, about a tensor by its name, or ``""``: about the file."""
    is_node = not isinstance(about, str)
    return Finding(
        severity=severity,
        rule=rule,
        node=node_name(about) if is_node else about,
        operator=about.op_type if is_node else "",
        message=message,
        advice=advice,
    )


#: What a rule looks at beside the node.
Beside = ParamSpec("Beside")


def node_rule(
    rule: str, advice: str, *, severity: Severity = "error"
) -> Callable[
    [Callable[Concatenate[Any, Beside], Iterator[str]]],
    Callable[Concatenate[Any, Beside], Iterator[Finding]],
]:
    """Turn a function that yields what is wrong with a node into one that yields findings."""

    def decorate(
        objections: Callable[Concatenate[Any, Beside], Iterator[str]],
    ) -> Callable[Concatenate[Any, Beside], Iterator[Finding]]:
        def check(node: Any, /, *args: Beside.args, **more: Beside.kwargs) -> Iterator[Finding]:
            for message in objections(node, *args, **more):
                yield finding(node, rule, message, advice, severity=severity)

        return check

    return decorate


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether any of them is an error."""
    return any(finding.severity == "error" for finding in findings)

"""The operator tables of TensorRT's ONNX parsers, as packaged data."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSupport:
    """One row of a table.

    Attributes:
        supported: Whether the parser takes the operator.
        experimental: Whether its documentation calls it experimental.
        types: Types that it takes, in TensorRT's names, e.g. ``FP32``.
        restrictions: What the table says beside that, or empty.
    """

    supported: bool
    experimental: bool
    types: frozenset[str]
    restrictions: str


@cache
def read_operator_table(name: str) -> dict[str, OperatorSupport]:
    """Return a table by operator.

    Args:
        name: File name, e.g. ``tensorrt-8.2-onnx-operators.tsv``; its first lines name the commit
            of github.com/onnx/onnx-tensorrt that it was taken from.
    """
    text = resources.files("edge.preflight").joinpath(name).read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    table: dict[str, OperatorSupport] = {}
    for operator, supported, types, restrictions in csv.reader(lines, delimiter="\t"):
        table[operator] = OperatorSupport(
            supported=supported.startswith("Y"),
            experimental="EXPERIMENTAL" in supported,
            types=frozenset(types.replace(" ", "").split(",")) - {""},
            restrictions=restrictions.replace("\\.", ".").replace("<br />", " "),
        )
    return table

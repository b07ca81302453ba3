"""The notes of the operator tables, as rules: what they forbid beside operators and types.

A rule holds for every parser whose table has its phrase in the row of the operator. Notes on inputs
that must be fixed in the file, on pooling, resizing and quantisation have rules beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from edge.preflight.findings import Finding, node_rule
from edge.preflight.graph import GraphView, attribute
from edge.preflight.operators import read_operator_table
from edge.targets import TensorRtParser

_FIXED = "fold constants (onnxslim), or export with fixed sizes"
_FLOATS = ("FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16")
_MOST_K = 3840

_Rule = Callable[[Any, GraphView], Iterator[Finding]]


def check_notes(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    """Check a node by the notes of its operator's row."""
    row = read_operator_table(parser.operators)[node.op_type]
    for phrase, rule in NOTES.items():
        if phrase in row.restrictions:
            try:
                yield from list(rule(node, view))
            except (AttributeError, IndexError):  # inputs or branches are missing: `invalid-onnx`
                return


def _einsum_terms(node: Any) -> list[str]:
    equation = str(attribute(node, "equation", "")).replace(" ", "")
    return equation.split("->")[0].split(",")


@node_rule("einsum-ellipsis", "write a letter for each dimension")
def _check_einsum_ellipsis(node: Any, view: GraphView) -> Iterator[str]:
    equation = str(attribute(node, "equation", ""))
    if "." in equation:
        yield f"its equation {equation!r} has an ellipsis, which is not supported"


@node_rule("einsum-diagonal", "write it with other operators")
def _check_einsum_diagonal(node: Any, view: GraphView) -> Iterator[str]:
    for term in _einsum_terms(node):
        letters = term.replace(".", "")
        if len(set(letters)) < len(letters):
            yield (
                f"its equation {attribute(node, 'equation')!r} has a letter twice in {term!r}: "
                "diagonals are not supported"
            )


@node_rule("einsum-broadcasting", "expand the smaller input before it")
def _check_einsum_broadcasting(node: Any, view: GraphView) -> Iterator[str]:
    sizes: dict[str, set[int]] = {}
    for term, name in zip(_einsum_terms(node), node.input, strict=False):
        shape = view.shapes.get(name)
        if shape is None or "." in term or len(shape) != len(term):
            continue
        for letter, size in zip(term, shape, strict=True):
            if size is not None:
                sizes.setdefault(letter, set()).add(size)
    if mixed := sorted(letter for letter, found in sizes.items() if len(found) > 1):
        yield (
            f"its inputs have different sizes in {', '.join(mixed)}: broadcasting between inputs "
            "is not supported"
        )


@node_rule("bidirectional-activations", "use the same activations for both directions")
def _check_directions(node: Any, view: GraphView) -> Iterator[str]:
    names = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in attribute(node, "activations", ())
    ]
    half = len(names) // 2
    settings = (
        names,
        list(attribute(node, "activation_alpha", ())),
        list(attribute(node, "activation_beta", ())),
    )
    differ = any(len(one) > 1 and one[: len(one) // 2] != one[len(one) // 2 :] for one in settings)
    if attribute(node, "direction", "forward") == "bidirectional" and differ:
        yield (
            f"its activation functions differ forward ({', '.join(names[:half])}) and in reverse "
            f"({', '.join(names[half:])}), with their parameters; they must be the same"
        )


def _branches(node: Any) -> tuple[list[Any], list[Any]]:
    then, other = attribute(node, "then_branch"), attribute(node, "else_branch")
    return list(then.output), list(other.output)


@node_rule("branch-names", "rename the outputs of one branch")
def _check_branch_names(node: Any, view: GraphView) -> Iterator[str]:
    then, other = ({value.name for value in branch} for branch in _branches(node))
    if both := sorted(then & other):
        yield f"both branches call an output {', '.join(both)}; they must have different names"


@node_rule("branch-shapes", "let both branches give the same shape")
def _check_branch_shapes(node: Any, view: GraphView) -> Iterator[str]:
    for one, other in _branch_shapes(node, view):
        pairs = zip_longest(reversed(one), reversed(other), fillvalue=1)
        if any(None not in pair and 1 not in pair and pair[0] != pair[1] for pair in pairs):
            yield f"its branches give the shapes {one} and {other}, which cannot be broadcast"


@node_rule("branch-shapes", "let both branches give the same shape")
def _check_branch_ranks(node: Any, view: GraphView) -> Iterator[str]:
    for one, other in _branch_shapes(node, view):
        if len(one) != len(other):
            yield f"its branches give the shapes {one} and {other}, expected the same rank"


def _branch_shapes(
    node: Any, view: GraphView
) -> Iterator[tuple[tuple[int | None, ...], tuple[int | None, ...]]]:
    for then, other in zip(*_branches(node), strict=False):
        shapes = view.shapes.get(then.name), view.shapes.get(other.name)
        if shapes[0] is not None and shapes[1] is not None and then.name != other.name:
            yield shapes[0], shapes[1]


def _rank_between(least: int, most: int) -> _Rule:
    @node_rule("input-rank", "reshape before and after it")
    def check(node: Any, view: GraphView) -> Iterator[str]:
        shape = view.shapes.get(node.input[0])
        if shape is not None and not least <= len(shape) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            yield f"its input has {len(shape)} dimensions, the parser takes {wanted}"

    return check


@node_rule("seed-ignored", "give the numbers as an input, or as a constant", severity="warning")
def _check_seed(node: Any, view: GraphView) -> Iterator[str]:
    if any(item.name == "seed" for item in node.attribute):
        yield f"its seed {attribute(node, 'seed')} is ignored: it gives other numbers there"


@node_rule("not-constant", "fold constants (onnxslim), or count in int32")
def _check_range(node: Any, view: GraphView) -> Iterator[str]:
    import onnx

    kinds = {view.types.get(name, 0) for name in node.input}
    floats = {onnx.TensorProto.DataType.Value(kind) for kind in _FLOATS}
    if kinds & floats and not all(map(view.is_constant, node.input)):
        yield "its floating-point start, limit and delta are not all fixed in the file"


@node_rule("dynamic-input", "export with fixed sizes (--batch 1)")
def _check_static(node: Any, view: GraphView) -> Iterator[str]:
    shape = view.shapes.get(node.input[0])
    if shape is not None and None in shape:
        yield f"its input leaves sizes open ({shape}), which is not supported for {node.op_type}"


@node_rule("constant-kind", "store a dense tensor of numbers")
def _check_constant_attribute(node: Any, view: GraphView) -> Iterator[str]:
    for item in node.attribute:
        if item.name in ("sparse_value", "value_string", "value_strings"):
            yield f"its {item.name} is not supported"


@node_rule("uneven-pads", "pad before it")
def _check_pads(node: Any, view: GraphView) -> Iterator[str]:
    pads = list(attribute(node, "pads", ()))
    half = len(pads) // 2
    if pads[:half] != pads[half:]:
        yield f"its pads {pads} differ between the beginning and the end of an axis"


@node_rule("training-mode", "export the network in evaluation mode")
def _check_training(node: Any, view: GraphView) -> Iterator[str]:
    value = view.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if value is not None and value.any():
        yield "its training_mode is true, it must be false"


@node_rule("dynamic-input", _FIXED)
def _check_hardmax_axis(node: Any, view: GraphView) -> Iterator[str]:
    shape, axis = view.shapes.get(node.input[0]), attribute(node, "axis", -1)
    if shape is not None and -len(shape) <= axis < len(shape) and shape[axis] is None:
        yield f"the size of its axis {axis} is left open"


@node_rule("not-constant", _FIXED)
def _check_depth(node: Any, view: GraphView) -> Iterator[str]:
    if not view.is_known_when_built(node.input[1]):
        yield f"its depth ({node.input[1]!r}) is computed from the input"


@node_rule("further-outputs", "leave them out")
def _check_first_output(node: Any, view: GraphView) -> Iterator[str]:
    if more := [name for name in node.output[1:] if name]:
        yield f"its outputs {', '.join(more)} are not supported, only the first is"


def _must_be(name: str, wanted: int | str) -> _Rule:
    """Return a rule for an attribute whose default is the one value that the parser takes."""

    @node_rule("attribute", f"export with {name} {wanted}")
    def check(node: Any, view: GraphView) -> Iterator[str]:
        if (value := attribute(node, name, wanted)) != wanted:
            yield f"its {name} is {value}, it must be {wanted}"

    return check


@node_rule("loop-length", "fix the number of turns, or unroll the loop")
def _check_loop_lengths(node: Any, view: GraphView) -> Iterator[str]:
    carried = max(len(node.input) - 2, 0)
    if len(node.output) > carried and not view.is_known_when_built(node.input[0]):
        yield "it gathers a scan output over a number of turns that is not fixed in the file"


@node_rule("loop-shape", "keep the shape, e.g. write into a tensor of the final size")
def _check_loop_shapes(node: Any, view: GraphView) -> Iterator[str]:
    body = attribute(node, "body")
    carried = list(node.input)[2:]
    results = [value.name for value in body.output][1 : 1 + len(carried)]
    for before, after in zip(carried, results, strict=False):
        first, last = view.shapes.get(before), view.shapes.get(after)
        if first is None or last is None:
            continue
        sizes = zip(first, last, strict=False)
        if len(first) != len(last) or any(
            None not in pair and pair[0] != pair[1] for pair in sizes
        ):
            yield (
                f"{before!r} enters with the shape {first} and leaves a turn with {last}; "
                "the shape must stay the same"
            )


@node_rule("top-k", "take fewer")
def _check_k(node: Any, view: GraphView) -> Iterator[str]:
    value = view.constant(node.input[1]) if len(node.input) > 1 else None
    largest = attribute(node, "k", 0) if value is None else int(value.max(initial=0))
    if largest >= _MOST_K:
        yield f"its K is {largest}, it must be less than {_MOST_K}"


@node_rule("resize-axes", "give scales of all axes")
def _check_scale_axes(node: Any, view: GraphView) -> Iterator[str]:
    axes, shape = list(attribute(node, "axes", ())), view.shapes.get(node.input[0])
    by_scales = len(node.input) > 2 and node.input[2] and not view.is_constant(node.input[2])
    rank = len(axes) if shape is None else len(shape)
    if axes and by_scales and axes != list(range(rank)):
        yield f"its scales are computed and its axes {axes}; then they must be 0..{rank - 1}"


#: The words of a note, and what enforces it.
NOTES: dict[str, _Rule] = {
    "Ellipsis and diagonal": _check_einsum_ellipsis,
    "diagonal operations are not supported": _check_einsum_diagonal,
    "Broadcasting between inputs is not supported": _check_einsum_broadcasting,
    "activation functions must be the same for both": _check_directions,
    "must have different names": _check_branch_names,
    "must have broadcastable shapes": _check_branch_shapes,
    "must have the same rank": _check_branch_ranks,
    "Input rank must be >=3 & <=5": _rank_between(3, 5),
    "Input must be 4D input": _rank_between(4, 4),
    "`input` must have 1D or 2D spatial dimensions": _rank_between(3, 4),
    "`seed` value is ignored": _check_seed,
    "Floating point inputs are only supported if": _check_range,
    "Dynamic input shapes are unsupported": _check_static,
    "`input` must have static dimensions": _check_static,
    "`sparse_value`, `value_string`, and `value_strings`": _check_constant_attribute,
    "`pads` for the beginning and end": _check_pads,
    "must be an initializer and evaluate to False": _check_training,
    "`axis` dimension of input must be a build-time constant": _check_hardmax_axis,
    "`depth` must be a build-time constant": _check_depth,
    "Only the first output `Y` is supported": _check_first_output,
    "Scan output length cannot be dynamic": _check_loop_lengths,
    "shape of Loop carried dependencies must be the same": _check_loop_shapes,
    "`input_forget` attribute must be 0": _must_be("input_forget", 0),
    "`layout` attribute must be 0": _must_be("layout", 0),
    "`reduction` is not supported": _must_be("reduction", "none"),
    "`sorted` must be 1": _must_be("sorted", 1),
    "`K` input must be less than 3840": _check_k,
    "`axes` must be an iota vector": _check_scale_axes,
}

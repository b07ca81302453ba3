"""The devices that a model is exported for, and what reads its graph there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TargetName = Literal["onnxruntime", "jetson-nano", "jetson-orin", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]

#: Precisions from fine to coarse.
COARSENESS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRtParser:
    """What one generation of TensorRT's ONNX parser takes.

    Attributes:
        release: TensorRT release whose documentation the rules follow.
        operators: File name of its operator table, packaged in `edge.preflight`.
        lowest_opset: Older graphs are read with a warning, or not at all.
        highest_opset: Newer graphs are read with the rules of this opset.
        uint8_input: Whether a network's input may be uint8.
        int64: Whether int64 is kept; else it becomes int32.
        needs_zero_point: Whether Q/DQ must spell their zero point out.
        needs_fixed_scales: Whether the scales of a Resize must be fixed in the file.
    """

    release: str
    operators: str
    lowest_opset: int
    highest_opset: int
    uint8_input: bool
    int64: bool
    needs_zero_point: bool
    needs_fixed_scales: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A kind of device.

    Attributes:
        name: How commands and sidecars call it.
        title: How people call it.
        precisions: What the device computes in.
        parser: The TensorRT parser that reads the graph there; None: ONNX Runtime does.
        no_int8_reason: Why int8 is refused, where it is.
    """

    name: TargetName
    title: str
    precisions: tuple[Precision, ...]
    parser: TensorRtParser | None
    no_int8_reason: str = ""

    @property
    def uint8_input(self) -> bool:
        """Whether a graph there may take uint8 pictures."""
        return self.parser is None or self.parser.uint8_input


#: JetPack 4.6, the last for the Nano, has TensorRT 8.2.1.
_TENSORRT_8_2 = TensorRtParser(
    release="8.2",
    operators="tensorrt-8.2-onnx-operators.tsv",
    lowest_opset=7,
    highest_opset=13,
    uint8_input=False,
    int64=False,
    needs_zero_point=True,
    needs_fixed_scales=True,
)
#: JetPack 6.1 and 6.2 have TensorRT 10.3; what 10.1 reads, 10.3 and later 10.x read too.
_TENSORRT_10_1 = TensorRtParser(
    release="10.1",
    operators="tensorrt-10.1-onnx-operators.tsv",
    lowest_opset=9,
    highest_opset=20,
    uint8_input=True,
    int64=True,
    needs_zero_point=False,
    needs_fixed_scales=False,
)

TARGETS: dict[TargetName, Target] = {
    "onnxruntime": Target(
        name="onnxruntime",
        title="ONNX Runtime on a CPU",
        precisions=("fp32", "int8"),
        parser=None,
    ),
    "jetson-nano": Target(
        name="jetson-nano",
        title="Jetson Nano (JetPack 4.6, TensorRT 8.2)",
        precisions=("fp32", "fp16"),
        parser=_TENSORRT_8_2,
        no_int8_reason=(
            "its GPU (Maxwell, compute capability 5.3) has no int8 instructions and TensorRT "
            "builds no int8 engine for it; use fp16, the only reduced precision there"
        ),
    ),
    "jetson-orin": Target(
        name="jetson-orin",
        title="Jetson Orin (JetPack 6.1 or later, TensorRT 10.3)",
        precisions=("fp32", "fp16", "int8"),
        parser=_TENSORRT_10_1,
    ),
    "tensorrt": Target(
        name="tensorrt",
        title="TensorRT 10 on an NVIDIA GPU",
        precisions=("fp32", "fp16", "int8"),
        parser=_TENSORRT_10_1,
    ),
}

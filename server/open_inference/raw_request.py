"""A request that is nothing but the raw bytes of one tensor: what a line of shell can send."""

from __future__ import annotations

import math
from collections.abc import Sequence

from server.errors import RequestError
from server.open_inference.datatypes import DATATYPES, V2Spec, array_from_bytes
from server.open_inference.request import InferRequest, InputTensor


def decode_raw_request(body: bytes, inputs: Sequence[V2Spec]) -> InferRequest:
    """Decode Triton's *raw binary request*; its answer is binary, too.

    Args:
        body: The whole body, not compressed.
        inputs: The tensors that the model takes. It must be one, of a datatype of fixed size; one
            size of its shape may be open and follows from the length of the body.

    Raises:
        RequestError: 400 if the tensor cannot be told from its bytes alone.
    """
    if len(inputs) != 1 or inputs[0].datatype not in DATATYPES or inputs[0].shape.count(-1) > 1:
        raise RequestError(
            400,
            "a body without JSON needs a model with one input that has one open size at most; this "
            f"one takes {[(one.name, one.datatype, list(one.shape)) for one in inputs]}; send JSON "
            "and its length in the header Inference-Header-Content-Length",
        )
    (spec,) = inputs
    datatype = DATATYPES[spec.datatype]
    unit = datatype.dtype.itemsize * math.prod(size for size in spec.shape if size != -1)
    units, rest = divmod(len(body), unit) if unit else (0, 0)
    if rest or not units or (units > 1 and -1 not in spec.shape):
        expected = f"a multiple of {unit}" if -1 in spec.shape else str(unit)
        raise RequestError(
            400,
            f"the body has {len(body)} bytes, expected {expected}, the size of input "
            f"{spec.name!r}, {spec.datatype} of shape {list(spec.shape)}",
        )
    shape = tuple(units if size == -1 else size for size in spec.shape)
    try:
        data = array_from_bytes(memoryview(body), datatype, shape)
    except ValueError as error:
        raise RequestError(
            400, f"the data of input {spec.name!r} cannot be used: {error}"
        ) from None
    return InferRequest(
        id=None,
        inputs=(InputTensor(name=spec.name, datatype=spec.datatype, shape=shape, data=data),),
        outputs=None,
        binary_output=True,
        timeout_s=None,
    )

"""The pictures in the body of a request: the body itself, files of a form, or base64 in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from server.errors import RequestError, shown
from server.http.exchange import Request
from server.http.large_bodies import require_few_values
from server.open_inference.datatypes import bytes_from_base64

_JSON: Final = b"application/json"
_FORM: Final = b"multipart/form-data"

#: The only field of a body in JSON.
_IMAGES: Final = "images"

#: The field of a form that says which part of its pictures was observed.
_MASK: Final = b"mask"

#: Forms and JSON that are larger are parsed in a thread; JSON of this size takes 0.8 ms, a form
#: 0.2 to 0.7 ms.
_PARSE_IN_PLACE_BYTES: Final = 256 << 10


def picture_body_document(*, several: bool, mask: bool = False) -> dict[str, Any]:
    """Return the description of the body for the OpenAPI document.

    Args:
        several: Whether there may be more than one picture.
        mask: Whether a form may have a mask beside them.
    """
    binary = {"type": "string", "format": "binary"}
    most = {} if several else {"maxItems": 1}
    images = {"type": "array", "minItems": 1, **most, "items": {"type": "string", "format": "byte"}}
    types = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
    form = {
        "type": "object",
        "additionalProperties": binary,
        **({"properties": {_MASK.decode(): binary}} if mask else {}),
        **({} if several else {"maxProperties": 1 + mask}),
    }
    json = {
        "type": "object",
        "required": [_IMAGES],
        "additionalProperties": False,
        "properties": {_IMAGES: images},
    }
    return {
        "required": True,
        "content": {
            **{name: {"schema": binary} for name in types},
            _FORM.decode(): {"schema": form},
            _JSON.decode(): {"schema": json},
        },
    }


async def read_pictures(request: Request, max_pictures: int) -> list[bytes]:
    """Do what `read_masked_pictures` does, for what takes no mask.

    Raises:
        RequestError: Also 400 if there is one.
    """
    pictures, mask = await read_masked_pictures(request, max_pictures)
    if mask is not None:
        raise RequestError(400, "the form has a mask, which is not taken here; leave it out")
    return pictures


async def read_masked_pictures(
    request: Request, max_pictures: int
) -> tuple[list[bytes], bytes | None]:
    """Read the body of a request; return its encoded pictures, in their order, and their mask.

    JSON and forms are known by the content type. Anything else is taken for one picture, whose
    format is known by its content. What is large is parsed in a thread. A mask is the file of that
    name in a form.

    Args:
        request: The request.
        max_pictures: More are refused as soon as they are counted.

    Raises:
        RequestError: 400 if the body is not what its type says; 413 if it has too many pictures;
            and as `Request.body`.
        ClientGoneError: As `Request.body`.
    """
    body = await request.body()
    kind, options = parse_options_header(request.headers.get(b"content-type", b""))
    if kind == _JSON:
        parse = partial(_from_json, body, max_pictures)
    elif kind == _FORM:
        parse = partial(_from_form, body, options.get(b"boundary", b""), max_pictures)
    else:
        return [body], None
    return parse() if len(body) <= _PARSE_IN_PLACE_BYTES else await request.aside(len(body), parse)


def _from_json(body: bytes, max_pictures: int) -> tuple[list[bytes], bytes | None]:
    require_few_values(body, max_pictures)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the request is no JSON: {error}") from None
    if type(found) is not dict or list(found) != [_IMAGES] or type(found[_IMAGES]) is not list:
        raise RequestError(
            400,
            f'the request is {shown(found)}, expected {{"{_IMAGES}": [...]}} with pictures in '
            "base64",
        )
    pictures: list[Any] = found[_IMAGES]
    _require_few(len(pictures), max_pictures)
    for index, text in enumerate(pictures):  # in place, so that none is held in both forms
        pictures[index] = _from_base64(index, text)
    return pictures, None


def _from_base64(index: int, text: Any) -> bytes:
    if type(text) is not str:
        raise RequestError(400, f"{_IMAGES}[{index}] is {shown(text)}, expected text in base64")
    try:
        return bytes_from_base64(text)
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise RequestError(400, f"{_IMAGES}[{index}] is no base64: {error}") from None


def _from_form(body: bytes, boundary: bytes, max_pictures: int) -> tuple[list[bytes], bytes | None]:
    if not boundary:
        raise RequestError(400, "the Content-Type multipart/form-data names no boundary")
    form = _Form(max_pictures)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin_part,
                "on_header_field": form.add_header_name,
                "on_header_value": form.add_header_value,
                "on_header_end": form.end_header,
                "on_headers_finished": form.end_headers,
                "on_part_data": form.add_data,
                "on_end": form.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(400, f"the form cannot be read: {error}") from None
    if not form.complete:
        raise RequestError(400, "the form has no end; it is cut off, or its boundary is another")
    if form.mask is not None and not form.pictures:
        raise RequestError(400, "the form has a mask and no picture")
    return [bytes(one) for one in form.pictures], None if form.mask is None else bytes(form.mask)


@dataclass(slots=True, eq=False)
class _Form:
    """Collects the files of a form; the parser calls it.

    Attributes:
        max_pictures: How many files it may have.
        pictures: Their contents, without that of the mask.
        mask: The content of the mask; None: there is none.
        complete: Whether the closing boundary was found.
    """

    max_pictures: int
    pictures: list[bytearray] = field(default_factory=list)
    mask: bytearray | None = None
    complete: bool = False
    _name: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""
    _part: bytearray = field(default_factory=bytearray)

    def begin_part(self) -> None:
        self._disposition = b""
        self._part = bytearray()

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            name = options.get(b"name", b"").decode("utf-8", "replace")
            raise RequestError(
                400,
                f"the form's field {shown(name)} is no file, expected files only; parameters "
                "belong into the query",
            )
        if options.get(b"name") == _MASK and self.mask is None:
            self.mask = self._part
            return
        self.pictures.append(self._part)
        _require_few(len(self.pictures), self.max_pictures)

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start:end]

    def end(self) -> None:
        self.complete = True


def _require_few(pictures: int, allowed: int) -> None:
    if pictures > allowed:
        raise RequestError(413, f"the request has more than {allowed} pictures; send fewer at once")

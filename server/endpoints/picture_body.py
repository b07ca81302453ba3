"""The pictures in the body of a request: the body itself, files of a form, or base64 in JSON."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from server.errors import RequestError
from server.open_inference.messages import shown

_JSON: Final = b"application/json"
_FORM: Final = b"multipart/form-data"

#: The only field of a body in JSON.
_IMAGES: Final = "images"


def pictures_in(body: bytes, content_type: bytes, max_pictures: int) -> list[bytes]:
    """Return the encoded pictures of a body, in their order.

    Args:
        body: The whole body.
        content_type: JSON and forms are known by it. Anything else is taken for one picture, whose
            format is known by its content.
        max_pictures: More are refused as soon as they are counted.

    Raises:
        RequestError: 400 if the body is not what its type says; 413 if it has too many pictures.
    """
    kind, options = parse_options_header(content_type)
    if kind == _JSON:
        return _from_json(body, max_pictures)
    if kind == _FORM:
        return _from_form(body, options.get(b"boundary", b""), max_pictures)
    return [body]


def is_one_picture(content_type: bytes) -> bool:
    """Return whether a body of this type needs no parsing."""
    return parse_options_header(content_type)[0] not in (_JSON, _FORM)


def _from_json(body: bytes, max_pictures: int) -> list[bytes]:
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
    _require_few(len(found[_IMAGES]), max_pictures)
    return [_from_base64(index, text) for index, text in enumerate(found[_IMAGES])]


def _from_base64(index: int, text: Any) -> bytes:
    if type(text) is not str:
        raise RequestError(400, f"{_IMAGES}[{index}] is {shown(text)}, expected text in base64")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise RequestError(400, f"{_IMAGES}[{index}] is no base64: {error}") from None


def _from_form(body: bytes, boundary: bytes, max_pictures: int) -> list[bytes]:
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
    return [bytes(picture) for picture in form.pictures]


@dataclass(slots=True, eq=False)
class _Form:
    """Collects the files of a form; the parser calls it.

    Attributes:
        max_pictures: How many files it may have.
        pictures: Their contents.
        complete: Whether the closing boundary was found.
    """

    max_pictures: int
    pictures: list[bytearray] = field(default_factory=list)
    complete: bool = False
    _name: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""

    def begin_part(self) -> None:
        self._disposition = b""
        self.pictures.append(bytearray())
        _require_few(len(self.pictures), self.max_pictures)

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

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self.pictures[-1] += data[start:end]

    def end(self) -> None:
        self.complete = True


def _require_few(pictures: int, allowed: int) -> None:
    if pictures > allowed:
        raise RequestError(413, f"the request has more than {allowed} pictures; send fewer at once")

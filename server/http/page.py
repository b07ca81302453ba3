"""The web page: static files that call the server's own endpoints and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from starlette.responses import Response

from server.errors import RequestError, shown
from server.http.endpoint import Endpoint
from server.http.exchange import Request

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

#: Nothing from elsewhere, no inline code; pictures that the page itself made or was given are
#: ``blob:``.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    # Names do not change with their content, so browsers ask each time whether it did.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file, held in memory.

    Attributes:
        body: Its content.
        media_type: What it is.
        tag: Its ``ETag``, which changes with the content.
    """

    body: bytes
    media_type: str
    tag: str


def page_endpoints() -> list[Endpoint]:
    """Return the endpoints; the files are read once, now."""
    files = dict(_read(resources.files("server") / "page"))

    async def file(request: Request) -> Response:
        # Looked up among names that are known, so no path leads out of the folder.
        path = request.path.get("path", "index.html")
        if path not in files:
            raise RequestError(404, f"there is no {shown(request.scope['path'])} in the page")
        return _answer(request, files[path])

    return [
        Endpoint(method="GET", path=path, handler=file, right=None)
        for path in ("/", "/page/{path:path}")
    ]


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, _File]]:
    """Return all files of a folder and those below it, by their path."""
    files: list[tuple[str, _File]] = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            files += _read(entry, f"{path}/")
        elif (media_type := _TYPES.get(f".{entry.name.rpartition('.')[2]}")) is not None:
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            files.append((path, _File(body=body, media_type=media_type, tag=tag)))
    return files


def _answer(request: Request, file: _File) -> Response:
    """Return the file, or 304 if the browser has it."""
    headers = {**_HEADERS, "ETag": file.tag}
    known = request.headers.get(b"if-none-match", b"").decode("latin-1")
    if file.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)

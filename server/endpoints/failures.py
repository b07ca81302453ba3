"""Failures of the FastAPI part, answered like all others: ``{"error": "..."}``."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bicameral.errors import BicameralError, MachineError, UserError
from server.endpoints.asgi import error_answer
from server.errors import RequestError
from server.open_inference.messages import shown


def answer_failures(app: FastAPI) -> None:
    """Make an application answer every failure that it expects."""
    app.add_exception_handler(BicameralError, _own)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def request_error(error: BicameralError) -> RequestError:
    """Return the refusal that stands for an error: 400 for the user's, 503 for the machine's."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UserError):
        return RequestError(400, str(error))
    if isinstance(error, MachineError):
        return RequestError(503, str(error))
    return RequestError(500, str(error))


def _own(_: Request, error: Exception) -> Response:
    if not isinstance(error, BicameralError):
        raise error
    return _response(request_error(error))


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = str(error.detail)
    if error.status_code in (404, 405):
        what = shown(f"{request.method} {request.url.path}")
        message = f"there is no {what} here; GET /openapi.json and GET /v2 tell what there is"
    return _response(RequestError(error.status_code, message, error.headers))


def _invalid(_: Request, error: Exception) -> Response:
    """Name every field that does not fit."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
    ]
    return _response(RequestError(400, f"the request does not fit: {'; '.join(problems)}"))


def _response(error: RequestError) -> Response:
    answer = error_answer(error)
    response = Response(b"".join(answer.body), answer.status)
    response.raw_headers = [
        *answer.headers,
        (b"content-length", b"%d" % len(response.body)),
    ]
    return response

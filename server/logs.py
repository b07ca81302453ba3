"""Logs as lines of text, or of JSON for machines; both name the request and the worker."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

import orjson

LogFormat = Literal["text", "json"]

#: The request that is being answered; None outside of one.
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)

#: The trace that the request belongs to, 32 hexadecimal digits; None if it is not traced.
current_trace_id: ContextVar[str | None] = ContextVar("current_trace_id", default=None)


def configure_logging(log_format: LogFormat, process: str) -> None:
    """Send all logs of this process to stderr; replaces what was configured before.

    Args:
        log_format: ``text``, or ``json``: one object per line.
        process: How lines call this process, e.g. ``worker-4711``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if log_format == "json" else TextFormatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("server").setLevel(logging.INFO)


class JsonFormatter(logging.Formatter):
    """One JSON object per line.

    Its keys are ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``process``, ``message``, inside
    of a request ``request_id``, of a traced one also ``trace_id``, with an exception ``exception``,
    and whatever the call gave as ``extra={"fields": {...}}``.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "message": record.getMessage(),
        }
        request_id = current_request_id.get()
        if request_id is not None:
            line["request_id"] = request_id
        trace_id = current_trace_id.get()
        if trace_id is not None:
            line["trace_id"] = trace_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """One line of text: time, level, process, the request's id in brackets, message."""

    def __init__(self, process: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(process_name)s %(request)s%(message)s")
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback of an exception."""
        request_id = current_request_id.get()
        record.process_name = self._process
        record.request = "" if request_id is None else f"[{request_id}] "
        return super().format(record)

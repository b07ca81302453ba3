"""The web page's files: what they may do, and that they are all there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

PAGE = Path(str(resources.files("server"))) / "page"
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())


@pytest.fixture
def serve(models: Path, serving_folder):
    """A server without a model: the page needs none."""
    return partial(serving_folder, models)


async def test_every_file_is_served_as_what_it_is(serve):
    async with serve() as client:
        assert len(FILES) > 30
        for path in FILES:
            answer = await client.get(f"/page/{path.relative_to(PAGE).as_posix()}")
            assert answer.status_code == 200, path
            assert answer.content == path.read_bytes()
            assert answer.headers["content-type"].split(";")[0] in {
                "text/html", "text/css", "text/javascript", "text/plain", "application/json",
                "image/png", "image/svg+xml",
            }  # fmt: skip


async def test_nothing_from_elsewhere_may_run_or_be_shown(serve):
    async with serve() as client:
        answer = await client.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = dict(
            directive.split(" ", 1)
            for directive in answer.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert {word for text in policy.values() for word in text.split()} <= {
            "'none'",
            "'self'",
            "blob:",
        }


async def test_a_browser_that_has_a_file_gets_it_only_when_it_changed(serve):
    async with serve() as client:
        first = await client.get("/")
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            again = await client.get("/", headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        other = await client.get("/", headers={"If-None-Match": '"other"'})
        assert other.content == first.content
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["nothing.js", "../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "js"]
)
async def test_no_path_leads_out_of_the_folder(serve, path):
    async with serve() as client:
        answer = await client.get(httpx.URL(f"http://localhost/page/{path}"))
        assert answer.status_code == 404
        assert list(answer.json()) == ["error"]


def test_all_that_the_files_name_is_there():
    """The document's references, and the modules' imports."""
    index = (PAGE / "index.html").read_text()
    named = re.findall(r'(?:href|src)="page/([^"]+)"', index)
    assert len(named) > 5
    assert all((PAGE / name).is_file() for name in named)
    for module in PAGE.rglob("*.js"):
        for name in re.findall(r'from "([^"]+)"', module.read_text()):
            assert name.startswith("."), f"{module.name} imports {name}"
            assert (module.parent / name).resolve().is_file(), f"{module.name} imports {name}"


def test_every_element_that_a_module_looks_for_is_in_the_document():
    ids = re.findall(r'\bid="([^"]+)"', (PAGE / "index.html").read_text())
    assert len(ids) == len(set(ids))
    for module in PAGE.rglob("*.js"):
        for wanted in re.findall(r'byId\("([^"]+)"\)', module.read_text()):
            assert wanted in ids, (module.name, wanted)


def test_the_document_has_no_inline_code_or_style():
    index = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)

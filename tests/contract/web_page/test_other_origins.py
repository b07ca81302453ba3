"""What pages of other origins can do to a server, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

#: Unloads a model as a form could, then reads something; returns what it could read.
ATTACK = """
async (url) => {
  const unload = url + "v2/repository/models/net/unload";
  await fetch(unload, {method: "POST", mode: "no-cors"});
  try {
    const answer = await fetch(url + "v2", {headers: {"X-API-Key": "none"}});
    return [(await answer.json()).name, answer.headers.get("X-Request-Id") !== null];
  } catch (error) {
    return error.name;
  }
}
"""

#: Opens a WebSocket with a key as protocols; returns the one that was chosen.
STREAM = """
(url) => new Promise((resolve) => {
  const address = url.replace("http", "ws") + "v1/drive/net/stream";
  const socket = new WebSocket(address, ["bicameral", "bicameral.key.none"]);
  socket.onopen = () => resolve(socket.protocol);
  socket.onerror = () => resolve("refused");
})
"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def origins() -> Iterator[tuple[str, str]]:
    """Two origins that serve an empty page; to a browser, another port is another origin."""
    with ExitStack() as stack:
        yield stack.enter_context(_origin()), stack.enter_context(_origin())


@pytest.fixture
def pages(browser: Browser, origins: tuple[str, str]) -> Iterator[list[Page]]:
    context = browser.new_context()
    opened = [context.new_page() for _ in origins]
    for page, origin in zip(opened, origins, strict=True):
        page.goto(origin)
    yield opened
    context.close()


def test_a_strangers_page_can_neither_act_nor_read_and_a_friends_can_do_both(
    tmp_path: Path,
    write_classifier: Callable[..., Path],
    start_site: Callable[..., Any],
    origins: tuple[str, str],
    pages: list[Page],
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "net")
    site = start_site(folder, "--cors-origin", origins[0])
    friend, stranger = pages

    assert stranger.evaluate(ATTACK, site.url) == "TypeError"
    assert site.api.get("/v2/models/net/ready").status_code == 200
    assert stranger.evaluate(STREAM, site.url) == "refused"

    assert friend.evaluate(ATTACK, site.url) == ["bicameral", True]
    assert site.api.get("/v2/models/net/ready").status_code == 503

"""A real server with shipped models, and pages of it in Debian's Chromium."""

from __future__ import annotations

import gzip
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from agent.remote import RemoteAgent
from bicameral.types import Decision, Observation, Pose, Route
from edge.shipped import shipped_model, weights_folder
from edge.sidecar import read_sidecar
from tests.chromium import running_chromium

PATIENCE_S = 180.0
CASCADE = "fashion_mnist_cascade"
BROKEN = "broken"

#: The pictures that the shipped cascade was tested with.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")

expect.set_options(timeout=1000 * PATIENCE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server.

    Attributes:
        server: Its processes.
        url: Where its page is.
        api: Asks it as a program would.
    """

    server: Any
    url: str
    api: httpx.Client

    def classify(self, picture: bytes, model: str = CASCADE, **query: Any) -> Any:
        """Return the parsed answer for one picture, of which nothing is remembered."""
        path = f"/v1/classify/{model}"
        query = {"top_k": 10, "no_store": "true", **query}
        return self.api.post(path, content=picture, params=query).raise_for_status().json()


@pytest.fixture(scope="session")
def running_site(serving: Callable[..., Any]) -> Callable[..., Any]:
    """Run a server while a context is open: ``running_site(folder, log, *options, port=0)``."""

    @contextmanager
    def run(folder: Path, log: Path, *options: str, port: int = 0) -> Iterator[Site]:
        with serving(folder, log, "--workers=1", *options, port=port) as server:
            url = f"{server.url}/"
            with httpx.Client(base_url=url, timeout=PATIENCE_S) as api:
                yield Site(server=server, url=url, api=api)

    return run


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped cascade with its members, one that learns, two agents, and one that is broken."""
    folder = tmp_path_factory.mktemp("models")
    cascade = read_sidecar(shipped_model(CASCADE)).cascade
    assert cascade is not None
    members = (stage.name for stage in cascade.stages)
    for name in (CASCADE, *members, "fashion_mnist_read_out", "caril_a", "caril_b"):
        for path in weights_folder().glob(f"{name}.*"):
            shutil.copy(path, folder)
    (folder / f"{BROKEN}.bicameral.json").write_text("{")
    return folder


@pytest.fixture(scope="session")
def site(
    shipped: Path, tmp_path_factory: pytest.TempPathFactory, running_site: Callable[..., Any]
) -> Iterator[Site]:
    with running_site(shipped, tmp_path_factory.mktemp("log") / "server.log") as site:
        yield site


@pytest.fixture
def start_site(tmp_path: Path, running_site: Callable[..., Any]) -> Iterator[Callable[..., Site]]:
    """Start one more server: ``start_site(folder, *options, port=0)``."""
    with ExitStack() as sites:
        logs = (tmp_path / f"{number}.log" for number in count())

        def start(folder: Path, *options: str, port: int = 0) -> Site:
            return sites.enter_context(running_site(folder, next(logs), *options, port=port))

        yield start


# Not for the session: other tests of this process run event loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with running_chromium(*camera) as browser:
        yield browser


@dataclass  # without slots: Playwright keeps its handlers as attributes
class Watch:
    """What a page did beside what it shows.

    Attributes:
        requests: Addresses that it asked for.
        complaints: Errors and warnings on its console, and exceptions.
        refused: Whether the server is expected to refuse requests, or to be gone, which browsers
            write on the console.
    """

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refused: bool = False

    def of(self, page: Page) -> None:
        """Watch a page."""
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)

    def check(self, site: Site) -> None:
        """The page asks nobody but its server, and nothing goes wrong unseen."""
        elsewhere = [
            url
            for url in self.requests
            if urlsplit(url).scheme != "blob" and not url.startswith(site.url)
        ]
        assert not elsewhere
        assert not self.complaints

    def _note(self, message: Any) -> None:
        expected = self.refused and message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)


OpenPage = Callable[..., Page]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def open_page(browser: Browser, site: Site, watch: Watch) -> Iterator[OpenPage]:
    """Open the page as somebody who was never there; keywords are those of a browser's context."""
    contexts = []

    def open_one(panel: str = "try", at: Site = site, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        watch.of(page)
        page.goto(f"{at.url}#{panel}")
        return page

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage, site: Site, watch: Watch) -> Iterator[Page]:
    """The page, ready, at the cascade."""
    page = open_page()
    expect(page.locator("#model")).to_have_value(CASCADE)
    yield page
    watch.check(site)


@pytest.fixture(scope="session")
def clothes() -> np.ndarray:
    """The first 500 test images of Fashion-MNIST (500, 28, 28) uint8."""
    with gzip.open(FASHION_MNIST) as file:
        return np.frombuffer(file.read(16 + 500 * 784), np.uint8, offset=16).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    """Encode an image."""
    return lambda image: cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture(scope="session")
def hard_picture(site: Site, clothes: np.ndarray, png: Callable[[np.ndarray], bytes]) -> bytes:
    """One for which A is not sure enough."""
    for picture in map(png, clothes):
        if site.classify(picture)["results"][0]["trace"]["stage"] == "b":
            return picture
    raise AssertionError("A is sure of all 500 pictures")


@pytest.fixture
def upload() -> Callable[[Page, bytes], None]:
    """Choose a picture, as with the file dialog."""

    def choose(page: Page, picture: bytes) -> None:
        chosen = {"name": "picture.png", "mimeType": "image/png", "buffer": picture}
        page.locator("#file").set_input_files(chosen)

    return choose


#: Length of the road that is driven again and again.
ROAD_M = 100


@dataclass(kw_only=True)
class RemoteDrive:
    """Somebody who drives with a served agent until told to end.

    Attributes:
        agent: The agent.
        route: The road that it drives.
        decisions: What it decided so far.
    """

    agent: RemoteAgent
    route: Route
    decisions: list[Decision] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._drive)

    def start(self) -> None:
        """Begin an episode."""
        self._thread.start()

    def end(self) -> None:
        """End it; nothing happens if none has begun."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _drive(self) -> None:
        camera = self.agent.camera
        # Grey above a dark road: something to see.
        image = np.full((camera.height, camera.width, 3), 160, np.uint8)
        image[camera.height // 2 :] = 60
        self.agent.begin(self.route, 0)
        frame = 0
        while not self._over.wait(0.2):
            seen = Observation(
                frame=frame,
                time_s=frame / 20,
                image=image,
                pose=Pose(x_m=frame % ROAD_M, y_m=0.3),
                speed_mps=5.0,
            )
            self.decisions.append(self.agent.act(seen))
            frame += 1
        self.agent.close()


@pytest.fixture
def remote_drive(site: Site, straight_route: Callable[..., Route]) -> Iterator[RemoteDrive]:
    """Somebody who is about to drive with "caril_a", and asks "caril_b" for a second opinion."""
    url = f"{site.url}v1/drive/caril_a"
    agent = RemoteAgent(url, "second_opinion", "caril_b")
    drive = RemoteDrive(agent=agent, route=straight_route(ROAD_M, name="a_straight_road"))
    yield drive
    drive.end()


@pytest.fixture
def another_drive(site: Site, straight_route: Callable[..., Route]) -> Iterator[RemoteDrive]:
    """Somebody else who is about to drive with "caril_a" alone."""
    agent = RemoteAgent(f"{site.url}v1/drive/caril_a")
    drive = RemoteDrive(agent=agent, route=straight_route(ROAD_M, name="a_straight_road"))
    yield drive
    drive.end()

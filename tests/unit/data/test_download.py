"""Downloaded data sets, from a real server on this machine: checked, whole, and fetched once."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError, MachineError
from models.data.download import default_cache, download, read_download_list
from models.data.idx import IDX_FILES
from models.data.sources import DatasetOptions, load_dataset

pytestmark = pytest.mark.unit


def _idx_content(name: str) -> bytes:
    rng = np.random.default_rng(len(name) + ord(name[1]))
    shape = (12, 4, 4) if "images" in name else (12,)
    values = rng.integers(0, 256, shape, np.uint8) if "images" in name else np.arange(12) % 2
    header = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


CONTENT = {f"/{name}.gz": _idx_content(name) for name in IDX_FILES}


class Server:
    """What the server sends, and what it was asked for."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.missing_bytes = 0
        self.requests: list[str] = []
        self.url = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            content = state.content.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - state.missing_bytes])

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def _list(folder: Path, url: str, extra: str = "") -> Path:
    files = "".join(
        f'[[files]]\nurl = "{url}{path}"\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        for path, content in CONTENT.items()
    )
    path = folder / "stripes.toml"
    path.write_text(f'name = "stripes"\n{extra}\n{files}')
    return path


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_data_set_is_fetched_once_and_loaded(tmp_path: Path, server: Server) -> None:
    extra = 'labels = ["even", "odd"]\nmirror_allowed = true'
    source = str(_list(tmp_path, server.url, extra))
    options = DatasetOptions(cache=tmp_path / "cache", validation_share=0.25)
    dataset = load_dataset(source, options)
    assert (dataset.name, dataset.labels) == ("stripes", ("even", "odd"))
    assert dataset.mirror_allowed
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [8, 4, 12]
    assert sorted(server.requests) == sorted(CONTENT)
    assert load_dataset(source, options).fingerprint == dataset.fingerprint
    assert len(server.requests) == 4


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path, server: Server) -> None:
    wanted = read_download_list(_list(tmp_path, server.url))
    folder = download(wanted, tmp_path / "cache")
    (folder / f"{IDX_FILES[1]}.gz").write_bytes(b"half of i")
    assert download(wanted, tmp_path / "cache") == folder
    assert server.requests[4:] == [f"/{IDX_FILES[1]}.gz"]
    assert (folder / f"{IDX_FILES[1]}.gz").read_bytes() == CONTENT[f"/{IDX_FILES[1]}.gz"]


def test_a_file_with_another_checksum_is_not_kept(tmp_path: Path, server: Server) -> None:
    server.content[f"/{IDX_FILES[2]}.gz"] = b"something else"
    with pytest.raises(DataError, match=rf"{IDX_FILES[2]}\.gz gave 14 bytes with sha256"):
        load_dataset(str(_list(tmp_path, server.url)), DatasetOptions(cache=tmp_path / "cache"))
    assert _files(tmp_path / "cache") == sorted(f"{name}.gz" for name in IDX_FILES[:2])


def test_a_file_that_broke_off_is_not_kept(tmp_path: Path, server: Server) -> None:
    server.missing_bytes = 7
    with pytest.raises(MachineError, match=r"broke off after .* bytes, 7 are missing"):
        load_dataset(str(_list(tmp_path, server.url)), DatasetOptions(cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_file_that_the_server_does_not_have_is_named(tmp_path: Path, server: Server) -> None:
    del server.content[f"/{IDX_FILES[0]}.gz"]
    with pytest.raises(MachineError, match=rf"{IDX_FILES[0]}\.gz: the server answered 404"):
        load_dataset(str(_list(tmp_path, server.url)), DatasetOptions(cache=tmp_path / "cache"))


def test_a_server_that_does_not_answer_is_named(tmp_path: Path, server: Server) -> None:
    # Port 1 is reserved, and nothing listens there.
    path = _list(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(MachineError, match=r"cannot fetch http://127\.0\.0\.1:1/"):
        load_dataset(str(path), DatasetOptions(cache=tmp_path / "cache"))


def test_another_list_never_uses_the_same_folder(tmp_path: Path, server: Server) -> None:
    path = _list(tmp_path, server.url)
    first = download(read_download_list(path), tmp_path / "cache")
    name = f"/{IDX_FILES[0]}.gz"
    server.content[name] = gzip.compress(b"new", mtime=0)
    old, new = (hashlib.sha256(content[name]).hexdigest() for content in (CONTENT, server.content))
    path.write_text(path.read_text().replace(old, new))
    assert download(read_download_list(path), tmp_path / "cache") != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name =", "nam ="), "nam: Extra inputs"),
        (('"stripes"', '"../stripes"'), "name: String should match"),
        (("http:", "file:"), r"files\.0\.url: .* expected http"),
        (("sha256 = ", 'md5 = "0"\nsha256 = '), r"files\.0\.md5"),
        (('sha256 = "', 'sha256 = "x'), r"files\.0\.sha256"),
        (("train-images", "training-images"), "training-images-idx3-ubyte, expected train-im"),
        (("[[files]]", "[[file]]"), "Extra inputs"),
        (("name = ", "name "), "cannot read the download list"),
    ],
)
def test_a_wrong_list_says_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = _list(tmp_path, "http://example.org")
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(DataError, match=message):
        read_download_list(path)


def test_a_file_may_be_called_differently_from_its_url(tmp_path: Path, server: Server) -> None:
    path = _list(tmp_path, server.url)
    server.content["/files/17?raw=1"] = server.content.pop(f"/{IDX_FILES[0]}.gz")
    text = path.read_text().replace(
        f'url = "{server.url}/{IDX_FILES[0]}.gz"',
        f'url = "{server.url}/files/17?raw=1"\nname = "{IDX_FILES[0]}.gz"',
    )
    path.write_text(text)
    folder = download(read_download_list(path), tmp_path / "cache")
    assert _files(folder) == sorted(f"{name}.gz" for name in IDX_FILES)


def test_the_cache_follows_the_base_directory_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "bicameral" / "datasets"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("relative/path", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_cache() == tmp_path / "home" / ".cache" / "bicameral" / "datasets"

"""`bicameral zoo`: the list, one entry, and what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bicameral.cli.app import main
from edge.shipped import shipped_model, shipped_models
from edge.sidecar import read_sidecar
from models.data.sources import FASHION_MNIST_FOLDER
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import shipped_evaluation
from studies.zoo import entry_name

ROOT = Path(__file__).resolve().parents[3]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["zoo", *words])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def test_every_entry_is_listed_with_its_paper(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    for name, listed in CATALOGUE.items():
        [line] = [line for line in out.splitlines() if f" {name} " in line]
        assert f"arXiv {listed.arxiv}" in line


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_shown_with_what_was_measured(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, _ = run(capsys, name)
    assert code == 0
    assert CATALOGUE[name].paper_url in out
    measured = shipped_evaluation().entry(name)
    assert (f"{100 * measured.accuracy.value:.2f} %" if measured else "not yet") in out


def test_a_wrong_name_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "dual_brunch")
    assert code == 2
    assert "Did you mean 'dual_branch'?" in err
    assert all(name in err for name in CATALOGUE)


def test_the_zoo_can_be_looked_at_without_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['jinja2'] = None\n"
        "from bicameral.cli.app import main; main(['zoo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "dual_branch" in done.stdout


def shipped_entries() -> list[str]:
    """Return the entries of which weights ship."""
    sidecars = (read_sidecar(shipped_model(name)) for name in shipped_models())
    return [
        entry_name(sidecar.name, "fashion-mnist") for sidecar in sidecars if sidecar.agent is None
    ]


@pytest.mark.parametrize("name", shipped_entries())
def test_every_entry_that_ships_is_listed_and_has_a_card(name: str) -> None:
    listed = CATALOGUE[name]
    card = (ROOT / listed.card).read_text("utf-8")
    assert name in card
    assert listed.kind == "compared" or listed.arxiv in card
    assert listed.offers.endswith(".")


def test_every_entry_that_ships_was_measured_on_the_whole_test_set() -> None:
    evaluation = shipped_evaluation()
    assert evaluation.dataset == "fashion-mnist"
    assert evaluation.n_test == 10_000
    assert {one.name for one in evaluation.entries} >= set(shipped_entries())
    assert FASHION_MNIST_FOLDER.name == evaluation.dataset


def test_the_page_says_what_the_stored_answers_say_of_a_cascade_with_the_zoo() -> None:
    path = ROOT / "studies" / "fashion_mnist" / "zoo" / "cascade.json"
    stored = json.loads(path.read_text("utf-8"))  # of the search that also compared with the zoo
    [note] = [note for note in stored["notes"] if "network of the zoo" in note]
    assert note in (ROOT / "docs" / "zoo" / "README.md").read_text("utf-8")

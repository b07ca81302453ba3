"""The report of a real evaluation, opened in a real browser."""

import json
import shutil
import subprocess

import pytest

from sim.client.simulator import ServerChoice
from sim.evaluation.agents import AgentSpec
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.results import write_results
from sim.evaluation.runner import Execution, evaluate
from sim.pocket.map_store import MapStore
from sim.report.build import write_report
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

EXPERT = AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    planner = RoutePlanner(MapStore().load("Harbour").carla_map, "Harbour")
    request = RouteRequest(kind="left", count=1, seed=3, min_length_m=120.0, max_length_m=180.0)
    routes = tuple(sample_routes(planner, request))
    plan = EvaluationPlan(routes=routes, agents=(EXPERT,), reference=EXPERT)
    evaluate(plan, folder, Execution(server=ServerChoice(), videos=True))
    write_results(folder)
    return folder, write_report(folder)


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "the report is tested in Chromium: apt-get install chromium"
    return path


def dump_page(browser, report, profile):
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    return subprocess.run(
        [browser, *flags, f"--user-data-dir={profile}", "--virtual-time-budget=5000",
         "--enable-logging=stderr", "--dump-dom", report.as_uri()],
        capture_output=True, text=True, timeout=280, check=True,
    )  # fmt: skip


def test_the_page_draws_an_episode_without_script_errors(evaluated, browser, tmp_path):
    folder, report = evaluated
    page = dump_page(browser, report, tmp_path)
    episode = json.loads((folder / "results.json").read_text())["bicameral"]["episodes"][0]
    assert f'data-episode="{episode["episode_id"]}"' in page.stdout
    assert page.stdout.count("<path") >= 4  # route and curves
    assert "Uncaught" not in page.stderr


def test_the_page_needs_no_other_file_and_no_network(evaluated):
    _, report = evaluated
    text = report.read_text()
    assert 'src="http' not in text
    assert 'href="http' not in text
    assert "data:video/webm;base64," in text


def test_the_table_holds_the_figures_of_the_results(evaluated):
    folder, report = evaluated
    group = json.loads((folder / "results.json").read_text())["bicameral"]["groups"][0]
    value = group["metrics"]["cross_track_mean"]["value"]
    assert f"{value:.3f}" in report.read_text()


def test_the_first_sentence_says_what_was_driven_and_how_it_went(evaluated):
    _, report = evaluated
    text = report.read_text()
    sentence = "Driven: 1 route of Harbour, by expert. Succeeded: 1 of 1 by expert."
    assert text.index(sentence) < text.index("<table>")

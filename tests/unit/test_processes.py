"""Work survives processes that the carla client aborts."""

import os

import pytest

from sim.client.processes import run_in_processes


def test_work_of_an_aborted_process_is_done_by_another(tmp_path):
    def abort_once(name):  # local, so that it travels to the process by value
        marker = tmp_path / name
        if not marker.exists():
            marker.touch()
            os.abort()
        return marker.name

    aborts = []
    results = dict(
        run_in_processes(
            lambda name: (abort_once, (name,)),
            ["a", "b", "c"],
            jobs=2,
            on_abort=lambda: aborts.append(1),
        )
    )
    assert results == {"a": "a", "b": "b", "c": "c"}
    assert aborts


def test_the_caller_decides_when_to_give_up():
    def give_up():
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        list(run_in_processes(lambda name: (os.abort, ()), ["a"], jobs=2, on_abort=give_up))


def test_one_job_runs_in_this_process():
    results = run_in_processes(lambda name: (os.getpid, ()), ["a"], jobs=1, on_abort=lambda: None)
    assert list(results) == [("a", os.getpid())]

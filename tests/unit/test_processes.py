"""Work survives processes that the carla client aborts."""

import os

import pytest

from sim.client.processes import KeptInProcess, run_in_processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_of_an_aborted_process_is_done_by_another(tmp_path, jobs):
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
            jobs=jobs,
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_job_runs_in_this_process_which_an_abort_would_end(jobs):
    results = run_in_processes(
        lambda name: (os.getpid, ()), ["a"], jobs=jobs, on_abort=lambda: None
    )
    ((name, process_id),) = results
    assert name == "a"
    assert process_id != os.getpid()


def test_what_a_job_raises_reaches_the_caller():
    def fail():
        raise ValueError("no way")

    with pytest.raises(ValueError, match="no way"):
        list(run_in_processes(lambda name: (fail, ()), ["a"], jobs=1, on_abort=lambda: None))


class Costly:
    def __init__(self, *settings):
        self.settings = settings
        self.closed = False

    def close(self):
        self.closed = True


def test_what_a_process_keeps_is_made_once_and_replaced_when_other_settings_are_asked_for():
    kept = KeptInProcess(Costly)
    first = kept.get("a", 1)
    assert kept.get("a", 1) is first
    second = kept.get("a", 2)
    assert (first.closed, second.settings, second.closed) == (True, ("a", 2), False)
    kept.close()
    assert second.closed
    assert kept.get("a", 2) is not second

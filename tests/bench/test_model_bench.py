"""The models' benchmark measures every contestant; what it measures is printed, not asserted."""

from bicameral.cli.bench_models import bench_models
from edge import latency
from edge.latency import Contestant, LatencySettings, cpu_ratio, measure_latency


def test_all_contestants_take_turns_and_the_dearer_one_is_told():
    def work(steps):
        return lambda: sum(range(steps))

    settings = LatencySettings(rounds=3, turn_s=0.005, warm_up_s=0.0)
    short, long = measure_latency(
        [
            Contestant(title="short", call=work(1_000), batch_size=1),
            Contestant(title="long", call=work(100_000), batch_size=2),
        ],
        settings,
    )
    for one in (short, long):
        assert len(one.cpu_us_by_round) == 3
        assert 0 < one.p50_us <= one.p90_us <= one.p99_us
        assert one.least_cpu_us <= one.cpu_us <= one.most_cpu_us
    assert short.calls > long.calls
    assert cpu_ratio(long, short) > 1


def test_the_command_measures_models_threads_and_batches(monkeypatch, capsys):
    monkeypatch.setattr(latency, "USUAL_LATENCY", LatencySettings(rounds=1, turn_s=0.001))
    code = bench_models(models=("fashion_mnist_cascade", "caril_a"), threads="1,2", batch="1,4")
    assert code == 0
    rows = [
        [cell.strip() for cell in line.split("│")[1:5]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("│")
    ]
    found = {(model, title, int(threads), int(size)) for model, title, threads, size in rows}
    ways = {("fashion_mnist_cascade", "whole"), ("caril_a", "whole"), ("caril_a", "graph")}
    assert found == {
        (*way, threads, batch) for way in ways for threads in (1, 2) for batch in (1, 4)
    }

"""tools/bench_config.py: it measures what it says, small."""

import os
from pathlib import Path

import bench_config
import pytest


@pytest.mark.parametrize("case", bench_config.CASES, ids=lambda case: case.service)
def test_a_table(tmp_path: Path, case: bench_config.Case) -> None:
    figures = bench_config.bench_table(tmp_path, case, 200, 100)
    assert (figures.service, figures.entries) == (case.service, 200)
    assert min(figures.seconds, figures.index_seconds, figures.hits, figures.misses) > 0


def test_rules(tmp_path: Path) -> None:
    figures = bench_config.bench_rules(tmp_path, 20, 10)
    assert figures.rules == 20 and figures.size > 0
    assert min(figures.parse, figures.send, figures.receive, figures.first, figures.last, figures.none) > 0


def test_networks_are_apart() -> None:
    networks = {bench_config.CASES[-1].line(number) for number in range(70_000)}
    assert len(networks) == 70_000


def test_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_config.main(["bench_config", "100", "10"]) == 0
    said = capsys.readouterr().out
    assert "10 rules" in said and all(case.service in said for case in bench_config.CASES)


def test_a_measurement_that_fails() -> None:
    with pytest.raises(RuntimeError, match="has failed"):
        bench_config.apart(lambda: os._exit(1))

"""The bench's arguments and its table; what it measures is no matter of a test."""

import bench_mail
import pytest


def figure(daemon: str, rate: float, error: str = "", scenario: str = "relay", sessions: int = 10):
    return bench_mail.Figure(scenario, daemon, sessions, 100, 1, rate, rate, 1024, 2048, 6, error)


def test_arguments_have_defaults_and_wrong_ones_are_refused(capsys) -> None:
    options = bench_mail.arguments([])
    assert options.scenarios == ["accept", "relay", "maildir"]
    assert options.sessions == [1, 10, 50]
    options = bench_mail.arguments(["relay", "--sessions", "2,3", "--messages", "7"])
    assert (options.scenarios, options.sessions, options.messages) == (["relay"], [2, 3], 7)
    for wrong in (["speed"], ["--sessions", "many"], ["--limits", "none"]):
        with pytest.raises(SystemExit):
            bench_mail.arguments(wrong)
    assert "no scenario 'speed'" in capsys.readouterr().err


def last_row(figures: list[bench_mail.Figure], ours: list[str], rivals: list[str]) -> list[str]:
    return bench_mail.table(figures, ours, rivals).splitlines()[-1].split()


def test_the_table_has_a_row_a_measurement_and_the_ratio() -> None:
    row = last_row([figure("ours", 300), figure("theirs", 200)], ["ours"], ["theirs"])
    assert row == ["relay", "10", "300", "2.0", "200", "2.0", "1.50x"]


def test_of_several_rounds_the_median_counts() -> None:
    figures = [figure("ours", rate) for rate in (100, 900, 300)]
    figures += [figure("theirs", 0, "failed"), figure("theirs", 150)]
    assert last_row(figures, ["ours"], ["theirs"])[-1] == "2.00x"


def test_a_failure_is_a_dash_in_the_table_and_told_in_its_line() -> None:
    failed = figure("theirs", 0, "arrival: not within 60 s")
    row = last_row([figure("ours", 300), failed], ["ours"], ["theirs"])
    assert row == ["relay", "10", "300", "2.0", "-", "-", "-"]
    assert bench_mail.line_of(failed).endswith("failed: arrival: not within 60 s")


def test_one_side_alone_has_no_ratio() -> None:
    assert last_row([figure("ours", 300)], ["ours"], []) == ["relay", "10", "300", "2.0"]
    assert last_row([figure("theirs", 300)], [], ["theirs"]) == ["relay", "10", "300", "2.0"]

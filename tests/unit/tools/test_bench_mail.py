"""The bench's arguments and its table; what it measures is no matter of a test."""

import bench_mail
import pytest


def figure(daemon: str, rate: float, error: str = "", number: int = 0, limits: str = "raised"):
    return bench_mail.Figure(
        "relay", limits, daemon, number, 10, 100, 1, rate, rate, 1024, 2048, 6, 1.5, error
    )


def test_arguments_have_defaults_and_wrong_ones_are_refused(capsys) -> None:
    options = bench_mail.arguments([])
    assert options.scenarios == ["accept", "relay", "drain", "maildir"]
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
    assert row == ["relay", "raised", "10", "300", "1.50", "2.0", "200", "1.50", "2.0", "1.50x"]


def test_of_several_rounds_the_median_counts_and_of_ratios_that_of_the_rounds() -> None:
    """The machine was slow in the second round, for both."""
    figures = [figure("ours", rate, number=number) for number, rate in enumerate((400, 40, 800))]
    figures += [figure("theirs", rate, number=number) for number, rate in enumerate((200, 10, 400))]
    row = last_row(figures, ["ours"], ["theirs"])
    assert (row[3], row[6], row[9]) == ("400", "200", "2.00x")


def test_a_round_that_one_did_not_get_through_counts_for_no_ratio() -> None:
    figures = [figure("ours", 100, number=0), figure("ours", 900, number=1)]
    figures += [figure("theirs", 0, "failed", number=0), figure("theirs", 300, number=1)]
    assert last_row(figures, ["ours"], ["theirs"])[-1] == "3.00x"


def test_limits_have_rows_of_their_own() -> None:
    figures = [figure("ours", 300), figure("ours", 100, limits="default")]
    rows = bench_mail.table(figures, ["ours"], []).splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["raised", "default"]


def test_a_failure_is_a_dash_in_the_table_and_told_in_its_line() -> None:
    failed = figure("theirs", 0, "arrival: not within 60 s")
    row = last_row([figure("ours", 300), failed], ["ours"], ["theirs"])
    assert row == ["relay", "raised", "10", "300", "1.50", "2.0", "-", "-", "-", "-"]
    assert bench_mail.line_of(failed).endswith("failed: arrival: not within 60 s")


def test_one_side_alone_has_no_ratio() -> None:
    expected = ["relay", "raised", "10", "300", "1.50", "2.0"]
    assert last_row([figure("ours", 300)], ["ours"], []) == expected
    assert last_row([figure("theirs", 300)], [], ["theirs"]) == expected

"""smtpctl/commands/again.py."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from smtpctl.commands import again
from smtpctl.commands.again import watched
from smtpctl.output import Output


class Stop(Exception):
    """Instead of ^C."""


def test_until_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Stop

    monkeypatch.setattr(again.time, "sleep", sleep)  # type: ignore[attr-defined]
    monkeypatch.setattr(again.time, "time", lambda: 1000.0 + len(pauses))  # type: ignore[attr-defined]

    def run(invocation: Any, parameters: Sequence[Any], options: Mapping[str, str]) -> int:
        invocation.output.row(f"now {invocation.now} {parameters} {options}", {})
        return 0

    invocation = SimpleNamespace(output=Output(), now=999)
    with pytest.raises(Stop):
        watched(run)(invocation, ("p",), {"watch": "2.5"})  # type: ignore[arg-type]
    assert pauses == [2.5] * 3
    assert capsys.readouterr().out.splitlines() == [
        f"now {now} ('p',) {{'watch': '2.5'}}" for now in (999, 1001, 1002)
    ]


def test_once_without_the_option_and_when_it_fails() -> None:
    runs: list[Any] = []

    def run(_invocation: Any, _parameters: Sequence[Any], options: Mapping[str, str]) -> int:
        runs.append(options)
        return 3

    invocation = SimpleNamespace(output=Output(), now=999)
    assert watched(run)(invocation, (), {}) == 3  # type: ignore[arg-type]
    assert watched(run)(invocation, (), {"watch": "1"}) == 3  # type: ignore[arg-type]
    assert len(runs) == 2


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "nan", "inf", "1e9"])
def test_no_pause(smtpctl: Any, text: str) -> None:
    status, out, err = smtpctl("show", "queue", f"--watch={text}")
    assert (status, out) == (64, "")
    assert "no pause in seconds" in err or "needs a value" in err

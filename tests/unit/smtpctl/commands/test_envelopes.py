"""smtpctl/commands/envelopes.py."""

import json
from typing import Any

import pytest

from smtpctl.commands import envelopes
from smtpd.messages.client_control import ClientChangeEnvelopes, ClientDiscover, ClientUncorrupt, ProgressRow


@pytest.mark.parametrize(
    ("words", "change", "done"),
    [
        (["schedule"], "schedule", "scheduled"),
        (["remove"], "remove", "removed"),
        (["pause", "envelope"], "suspend", "paused"),
        (["resume", "envelope"], "resume", "resumed"),
    ],
)
@pytest.mark.parametrize(
    ("identifier", "number"), [("all", 0), ("6c472de9", 0x6C472DE9), ("6c472de90a0b0c0d", 0x6C472DE90A0B0C0D)]
)
def test_changes(
    smtpctl: Any, daemon: Any, words: list[str], change: str, done: str, identifier: str, number: int
) -> None:
    for affected, said in ((0, "0 envelope"), (1, "1 envelope"), (2, "2 envelopes")):
        daemon.number = affected
        assert smtpctl(*words, identifier) == (0, f"{said} {done}\n", "")
    assert daemon.asked == [ClientChangeEnvelopes(change, number)] * 3


def test_how_far_a_long_one_is(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(envelopes, "PROGRESS_SECONDS", 0)
    monkeypatch.setattr("smtpctl.output.Output.progress", lambda self, text: said.append(text))
    daemon.rows[ClientChangeEnvelopes] = [ProgressRow(1, 10), ProgressRow(1, 20)]
    daemon.number = 25
    assert smtpctl("remove", "all") == (0, "25 envelopes removed\n", "")
    assert said == ["10 envelopes removed until now", "20 envelopes removed until now", ""]


def test_json(smtpctl: Any, daemon: Any) -> None:
    daemon.number = 12
    assert json.loads(smtpctl("--json", "remove", "all").out) == {"done": True, "number": 12}
    daemon.error = "need root privileges"
    status, out, _ = smtpctl("--json", "remove", "all")
    assert (status, json.loads(out)) == (1, {"done": False, "error": "need root privileges"})


@pytest.mark.parametrize("identifier", ["6c472de9", "6c472de90a0b0c0d"])
def test_discover(smtpctl: Any, daemon: Any, identifier: str) -> None:
    for affected, said in ((0, "0 envelopes"), (1, "1 envelope"), (2, "2 envelopes")):
        daemon.number = affected
        assert smtpctl("discover", identifier) == (0, f"{said} discovered\n", "")
    assert daemon.asked == [ClientDiscover(int(identifier, 16))] * 3


def test_uncorrupt(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("uncorrupt", "6c472de9") == (0, "command succeeded\n", "")
    assert daemon.asked == [ClientUncorrupt(0x6C472DE9)]
    daemon.error = "there is no such message in corrupt/"
    assert smtpctl("uncorrupt", "6c472de9") == (
        1,
        "command failed: there is no such message in corrupt/\n",
        "",
    )


def test_four_of_them() -> None:
    assert (
        len({envelopes.schedule, envelopes.remove, envelopes.pause_envelope, envelopes.resume_envelope}) == 4
    )

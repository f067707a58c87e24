"""smtpctl/commands/configuration.py."""

import json
from typing import Any

import pytest

from smtpctl.output import Output
from smtpd.messages.client_configuration import ClientShowConfiguration, ClientUpdateTable, ConfigurationRow

PIECES = ["listen on lo\ntable t { ", '"a\tb" }\n', "mat", "ch for any reject\n"]
TEXT = "".join(PIECES)


def rows(*texts: str) -> list[ConfigurationRow]:
    return [ConfigurationRow(0, text) for text in texts]


def test_byte_for_byte(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowConfiguration] = rows(*PIECES, "# \udcff\n")
    assert smtpctl("show", "config") == (0, TEXT + "# \udcff\n", "")
    assert daemon.asked == [ClientShowConfiguration()]


def test_json(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowConfiguration] = rows(*PIECES, "no newline")
    lines = [json.loads(line) for line in smtpctl("--json", "show", "config").out.splitlines()]
    assert lines == [{"statement": line} for line in [*TEXT.splitlines(), "no newline"]]


def test_no_terminal_is_commanded(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.rows[ClientShowConfiguration] = rows('table t { "\x1b[2J" }\n')
    usual = Output.__init__

    def on_a_terminal(self: Output, **options: Any) -> None:
        usual(self, **options)
        self.width = 80

    monkeypatch.setattr(Output, "__init__", on_a_terminal)
    assert smtpctl("show", "config").out == 'table t { "\\x1b[2J" }\n'


def test_nothing(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("show", "config") == (0, "", "")
    daemon.error = "parent does not answer"
    assert smtpctl("show", "config").status == 1


def test_update_table(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("update", "table", "aliases") == (0, "command succeeded\n", "")
    assert daemon.asked == [ClientUpdateTable("aliases")]
    daemon.error = "/etc/mail/aliases:7: no good"
    result = smtpctl("update", "table", "aliases")
    assert result.status == 1 and "/etc/mail/aliases:7: no good" in result.out + result.err

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config import parse as parse_module
from smtpd.config.errors import ConfigError, ConfigErrors
from smtpd.config.machine import FixedMachine
from smtpd.config.model import LocalAction
from smtpd.config.parse import Options, check_file_secrecy, parse_file, parse_text

RUN = """
listen on 127.0.0.1 port 2525
action "local" maildir "/tmp/state/mail/%{user.username}"
match from any for local action "local"
"""


def test_the_configuration_of_tools_run() -> None:
    config = parse_text(RUN)
    assert config.listeners[0].addresses[0][:3] == ("inet4", "127.0.0.1", 2525)
    action = config.actions["local"]
    assert isinstance(action, LocalAction)
    assert action.argument == "/tmp/state/mail/%{user.username}"
    assert config.rules[0].action == "local"


def test_parse_file(tmp_path: Path) -> None:
    path = tmp_path / "smtpd.conf"
    path.write_text("admd $name\nmatch reject")
    options = Options(machine=FixedMachine(), generation=7)
    config = parse_file(str(path), {"name": "x"}, options)
    assert (config.admd, config.generation) == ("x", 7)
    assert str(config.rules[0].place) == f"{path}:2"


def test_macros_of_the_command_line_stay() -> None:
    config = parse_text('name = "file"\nadmd $name\nmatch reject', macros={"name": "given"})
    assert config.admd == "given"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (str(tmp_path / "nope"), str(tmp_path), "a\0b"):
        with pytest.raises(ConfigErrors) as caught:
            parse_file(path)
        assert caught.value.errors[0].line == 0


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_module, "MAX_FILE", 10)
    path = tmp_path / "f"
    path.write_text("#" * 11)
    for read in (lambda: parse_file(str(path)), lambda: parse_text("#" * 11)):
        with pytest.raises(ConfigErrors, match="larger than 10 bytes"):
            read()


def test_no_rules() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_text("admd a")
    assert [str(error) for error in caught.value.errors] == ["smtpd.conf: no rules, nothing to do"]


def test_warnings() -> None:
    warned: list[ConfigError] = []
    parse_text("a = b\nmatch reject", options=Options(machine=FixedMachine(), warn=warned.append))
    assert [error.message for error in warned] == ["macro 'a' not used"]


def test_secrecy(tmp_path: Path) -> None:
    path = tmp_path / "smtpd.conf"
    path.write_text("match reject")
    path.chmod(0o640)
    parse_file(str(path), options=Options(machine=FixedMachine(), secret=True))
    for mode in (0o644, 0o660, 0o650, 0o602):
        path.chmod(mode)
        with pytest.raises(ConfigErrors, match="group/world"):
            parse_file(str(path), options=Options(machine=FixedMachine(), secret=True))
    path.chmod(0o600)


def test_secrecy_of_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    path.chmod(0o600)
    status = list(path.stat())
    status[4] = os.getuid() + 1
    monkeypatch.setattr(os, "stat", lambda name: os.stat_result(status))
    with pytest.raises(PermissionError, match="owner"):
        check_file_secrecy(str(path))


def test_certificates_are_loaded_when_asked() -> None:
    text = 'pki a cert "/c" key "/k"\nmatch reject'
    machine = FixedMachine(files={})
    assert parse_text(text, options=Options(machine=machine, load=False)).pkis["a"].cert == b""
    with pytest.raises(ConfigErrors, match="failed to load /c"):
        parse_text(text, options=Options(machine=machine))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try:
        parse_text(data, options=Options(machine=FixedMachine(files={})))
    except ConfigErrors as errors:
        assert errors.errors

"""smtpctl/places.py."""

import os
from pathlib import Path

import pytest

from smtpctl.places import SOCKET, SPOOL, Places, find_places
from smtpd.parent import places as parent


def places(socket: str | Path, spool: str | Path, state: Path | None = None) -> Places:
    return Places(str(socket), str(spool), state and str(state))


def test_the_systems_places_are_those_of_the_daemon() -> None:
    assert find_places(None, {}) == places(SOCKET, SPOOL) == places(parent.SOCKET, parent.SPOOL)


def test_a_state_folder_wins(tmp_path: Path) -> None:
    environment = {"SMTPD_SOCKET": "/elsewhere/smtpd.sock"}
    found = find_places(str(tmp_path), environment)
    assert found == places(tmp_path / "smtpd.sock", tmp_path / "spool", tmp_path)


def test_the_variable(tmp_path: Path) -> None:
    socket = tmp_path / "other.sock"
    assert find_places(None, {"SMTPD_SOCKET": str(socket)}) == places(socket, SPOOL)
    (tmp_path / "spool").mkdir()
    assert find_places(None, {"SMTPD_SOCKET": str(socket)}) == places(socket, tmp_path / "spool", tmp_path)
    assert find_places(None, {"SMTPD_SOCKET": ""}).socket == SOCKET


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.stat", refuse)
    found = find_places(None, {"SMTPD_SOCKET": str(tmp_path / "smtpd.sock")})
    assert found == places(tmp_path / "smtpd.sock", tmp_path / "spool", tmp_path)

"""smtpd/mproc/notify.py: what a service manager hears."""

import os
import socket
from pathlib import Path

import pytest

from smtpd.mproc.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"smtpd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"
        assert notify("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize(
    "value", [None, "", "relative", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200]
)
def test_nobody_to_tell(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify("READY=1")

"""smtpctl/invocation.py."""

from pathlib import Path
from typing import Any

from smtpctl.invocation import Invocation
from smtpctl.output import Output
from smtpctl.places import Places


def test_the_connection_is_made_at_first_use_and_once(daemon: Any, tmp_path: Path) -> None:
    invocation = Invocation(Places(tmp_path / "smtpd.sock", tmp_path / "spool", None), Output())
    paths = [daemon.path]
    client = invocation.client
    paths.append(daemon.path)
    assert invocation.client is client
    invocation.close()
    paths.append(daemon.path)
    assert paths == [None, tmp_path / "smtpd.sock", None]
    assert invocation.spool == tmp_path / "spool"
    invocation.close()
    again = invocation.client
    assert again is not client
    invocation.close()

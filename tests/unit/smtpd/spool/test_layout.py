"""The folders of a spool."""

import os
import stat
from pathlib import Path

import pytest

from smtpd.spool import layout

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")


def modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.iterdir())}


EXPECTED = {
    "spool": 0o711,
    "offline": 0o770,
    "purge": 0o700,
    "temporary": 0o700,
    "corrupt": 0o700,
    "queue": 0o700,
    "incoming": 0o700,
}


def test_made_and_found(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        assert layout.prepare(str(tmp_path / "spool")) == []
    finally:
        os.umask(old)
    assert modes(tmp_path / "spool") == EXPECTED
    assert layout.prepare(str(tmp_path / "spool")) == []


@AS_ROOT
def test_owners(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    assert layout.prepare(str(root), 12345, 23456) == []
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in (root, *root.iterdir())}
    assert owners.pop("spool") == (0, 0)
    assert owners.pop("offline") == (0, 23456)
    assert set(owners.values()) == {(12345, 0)}
    assert modes(root) == EXPECTED
    assert layout.prepare(str(root), 12345, 23456) == []
    wrong = layout.prepare(str(root), 1, 2)
    assert f"{root / 'queue'} is not owned by uid 1" in wrong
    assert f"{root / 'offline'} is not owned by gid 2" in wrong


@AS_ROOT
def test_a_spool_of_openSMTPD(tmp_path: Path) -> None:
    """It has no corrupt/; everything else is as it left it."""
    root = tmp_path / "spool"
    layout.prepare(str(root), 12345, 23456)
    (root / "corrupt").rmdir()
    assert layout.prepare(str(root), 12345, 23456) == []
    assert modes(root) == EXPECTED


def test_wrong_mode(tmp_path: Path) -> None:
    layout.prepare(str(tmp_path / "spool"))
    (tmp_path / "spool" / "queue").chmod(0o755)
    assert layout.prepare(str(tmp_path / "spool")) == [f"{tmp_path}/spool/queue must be rwx------ (700)"]
    assert stat.S_IMODE((tmp_path / "spool" / "queue").stat().st_mode) == 0o755  # left for the administrator


def test_not_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    layout.prepare(str(root))
    (root / "purge").rmdir()
    (root / "purge").write_text("")
    (root / "temporary").rmdir()
    (root / "temporary").symlink_to(tmp_path)
    assert layout.prepare(str(root)) == [
        f"{root}/purge is not a directory",
        f"{root}/temporary is not a directory",
    ]


def test_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert layout.prepare(str(tmp_path / "file" / "spool")) == [f"{tmp_path}/file/spool: Not a directory"]

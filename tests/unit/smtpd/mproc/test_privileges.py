"""smtpd/mproc/privileges.py: what was given up cannot be had back. Each case runs in a forked child."""

import ctypes
import json
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtpd.mproc import privileges

UID, GID = 65534, 65533
"""Somebody without rights, with a group of another number."""

need_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can chroot and switch users")
root = pytest.mark.root


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns in a forked child, by JSON; its exception is raised as an AssertionError."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = ["ok", function()]
        except BaseException:
            result = ["error", traceback.format_exc()]
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        data = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    kind, value = json.loads(data)
    assert kind == "ok", value
    return value


def status() -> dict[str, str]:
    """The lines of /proc/self/status."""
    with open("/proc/self/status") as lines:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def attempt(function: Callable[..., Any], *arguments: Any) -> str:
    """The name of the error that a call raises, "" without one."""
    try:
        function(*arguments)
    except OSError as error:
        return type(error).__name__
    return ""


def test_no_new_privs() -> None:
    def drop() -> list[str]:
        before = status()["NoNewPrivs"]
        privileges.no_new_privs()
        privileges.no_new_privs()
        return [before, status()["NoNewPrivs"]]

    before, after = in_child(drop)
    assert after == "1" and before in "01"


def test_no_new_privs_holds_for_what_is_executed() -> None:
    def drop() -> str:
        privileges.no_new_privs()
        with os.popen("grep NoNewPrivs /proc/self/status") as output:
            return output.read()

    assert re.fullmatch(r"NoNewPrivs:\s+1\n", in_child(drop))


def test_undumpable() -> None:
    def drop() -> list[int]:
        get_dumpable = 3
        before = privileges._libc.prctl(get_dumpable, 0, 0, 0, 0)
        privileges.undumpable()
        return [before, privileges._libc.prctl(get_dumpable, 0, 0, 0, 0)]

    assert in_child(drop)[1] == 0


def test_a_prctl_that_fails() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        privileges._set(privileges._PR_SET_NO_NEW_PRIVS, 2)
    assert ctypes.get_errno() != 0


@root
@need_root
def test_become() -> None:
    def drop() -> dict[str, Any]:
        os.setgroups([0, 4])
        privileges.become(UID, GID)
        return {"ids": [os.getresuid(), os.getresgid(), os.getgroups()], "status": status()}

    seen = in_child(drop)
    assert seen["ids"] == [[UID] * 3, [GID] * 3, []]
    for line in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(seen["status"][line], 16) == 0, line
    assert seen["status"]["Uid"].split() == [str(UID)] * 4  # the file system's id too
    assert seen["status"]["Gid"].split() == [str(GID)] * 4


@root
@need_root
def test_become_cannot_be_undone() -> None:
    def drop() -> list[str]:
        privileges.become(UID, GID)
        return [
            attempt(os.setuid, 0),
            attempt(os.seteuid, 0),
            attempt(os.setresuid, -1, 0, -1),
            attempt(os.setgid, 0),
            attempt(os.setresgid, 0, 0, 0),
            attempt(os.setgroups, [0]),
            attempt(os.chroot, "/"),
            attempt(os.listdir, "/proc/1/fd"),
            attempt(open, "/etc/shadow"),
            attempt(privileges.become, 0, 0),
            attempt(privileges.enter, "/"),
        ]

    assert in_child(drop) == ["PermissionError"] * 11


@root
@need_root
def test_a_switch_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system where setuid(0) still works after the switch."""

    def drop() -> str:
        monkeypatch.setattr(os, "setuid", lambda uid: None)
        try:
            privileges.become(UID, GID)
        except RuntimeError as error:
            return str(error)
        return ""

    assert in_child(drop) == "the user switch does not hold"


@root
@need_root
def test_enter(tmp_path: Path) -> None:
    (tmp_path / "inside").write_text("seen")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()

    def drop() -> list[Any]:
        os.chdir("/proc")
        privileges.enter(str(tmp_path))
        return [
            sorted(os.listdir("/")),
            os.getcwd(),
            Path("inside").read_text(),
            sorted(os.listdir("../../..")),
            attempt(open, "/link"),
            attempt(os.stat, "/etc"),
        ]

    everything = ["folder", "inside", "link"]
    assert in_child(drop) == [
        everything, "/", "seen", everything, "FileNotFoundError", "FileNotFoundError",
    ]  # fmt: skip


@root
@need_root
def test_enter_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert in_child(lambda: attempt(privileges.enter, str(tmp_path / "file"))) == "NotADirectoryError"
    assert in_child(lambda: attempt(privileges.enter, str(tmp_path / "none"))) == "FileNotFoundError"


@root
@need_root
def test_all_of_it_in_the_order_of_a_child(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def drop() -> list[Any]:
        kept = os.open("/proc/self/status", os.O_RDONLY)
        privileges.enter(str(tmp_path))
        privileges.become(UID, GID)
        privileges.no_new_privs()
        privileges.undumpable()
        seen = os.pread(kept, 10_000, 0).decode()
        return [
            re.findall(r"(?:NoNewPrivs|CapEff):\s+(\w+)", seen),
            os.listdir("/"),
            attempt(open, "/new", "w"),
            attempt(os.mkdir, "/new"),
            attempt(os.chroot, "/"),
        ]

    assert in_child(drop) == [["0" * 16, "1"], [], *["PermissionError"] * 3]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do all of this")
def test_without_rights(tmp_path: Path) -> None:
    assert in_child(lambda: attempt(privileges.enter, str(tmp_path))) == "PermissionError"
    assert in_child(lambda: attempt(privileges.become, UID, GID)) == "PermissionError"


@need_root
@root
def test_only_the_kept_capabilities_are_left() -> None:
    def keep() -> list[str]:
        privileges.keep_capabilities(privileges.CAP_SETUID, privileges.CAP_KILL)
        after = status()
        return [after[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")]

    kept = f"{1 << 7 | 1 << 5:016x}"
    assert in_child(keep) == [kept, kept, "0" * 16, kept]


@need_root
@root
def test_what_is_given_up_cannot_be_done() -> None:
    def keep() -> str:
        privileges.keep_capabilities(privileges.CAP_SETUID)
        return attempt(os.chroot, "/")

    assert in_child(keep) == "PermissionError"

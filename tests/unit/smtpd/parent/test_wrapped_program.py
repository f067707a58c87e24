"""Our own program inside of a wrapper: who can run it, and what it loads."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd.parent import wrapped_program as module
from smtpd.parent.wrapped_program import PACKAGES, check_reachable, command_words, loaded_from

USER = 54321
"""Of nothing the owner, and in no group."""


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation that everybody can use. Not in tmp_path: nobody can enter pytest's folders."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        install(Path(folder), monkeypatch)
        yield Path(folder)


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGES / "smtpd", tmp_path / "site/smtpd", ignore=shutil.ignore_patterns("__pycache__"))
    library = tmp_path / "library"
    library.mkdir()
    for name in ("encodings", "lib-dynload"):
        (library / name).mkdir()
    for name in ("os.py", "encodings/utf_8.py", "lib-dynload/math.so"):
        (library / name).touch()
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libpython3.so").touch()
    (tmp_path / "env/bin/python").symlink_to("/usr/bin/env")
    for path in (tmp_path, *tmp_path.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setattr(module, "PACKAGES", tmp_path / "site")
    monkeypatch.setattr(module, "STANDARD", library)
    monkeypatch.setattr(module, "SHARED", {tmp_path / "lib/libpython3.so"})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env/bin/python"))


def test_all_can(packages: Path) -> None:
    check_reachable(USER, USER)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("site", 0o750),
        ("site/smtpd", 0o700),
        ("site/smtpd", 0o711),
        ("site/smtpd/__init__.py", 0o600),
        ("site/smtpd/delivery", 0o700),
        ("site/smtpd/delivery/wrapped.py", 0o640),
        ("site/smtpd/delivery/lmtp.py", 0o600),
        ("site/smtpd/mail/address.py", 0o600),
        ("site/smtpd/protocol/smtp/client.py", 0o600),
        ("library", 0o700),
        ("library/os.py", 0o600),
        ("library/encodings/utf_8.py", 0o600),
        ("library/lib-dynload", 0o711),
        ("library/lib-dynload/math.so", 0o600),
        ("lib", 0o700),
        ("lib/libpython3.so", 0o600),
        ("env", 0o700),
        ("env/pyvenv.cfg", 0o600),
    ],
)
def test_a_piece_is_closed(packages: Path, path: str, mode: int) -> None:
    (packages / path).chmod(mode)
    with pytest.raises(PermissionError, match="users cannot (enter|read) ") as caught:
        check_reachable(USER, USER)
    assert str(packages / path) in str(caught.value)
    mine = packages.stat()
    check_reachable(mine.st_uid, mine.st_gid)  # whose it is can read it
    if mode & 0o040:
        check_reachable(USER, mine.st_gid)


def test_the_interpreter_itself_is_closed(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages / "home").mkdir(mode=0o755)
    program = packages / "home/python"
    program.touch(0o755)
    (packages / "env/bin/python").unlink()
    (packages / "env/bin/python").symlink_to(program)
    check_reachable(USER, USER)
    (packages / "home").chmod(0o700)
    with pytest.raises(PermissionError, match="home"):
        check_reachable(USER, USER)
    (packages / "home").chmod(0o755)
    program.chmod(0o700)
    with pytest.raises(PermissionError, match="python"):
        check_reachable(USER, USER)


def test_the_interpreter_s_library() -> None:
    """As the loader says, of the interpreter that is running here."""
    said = subprocess.run(["ldd", os.path.realpath(sys.executable)], stdout=subprocess.PIPE, check=True)
    words = [line.split() for line in said.stdout.decode().splitlines()]
    loaded = {os.path.realpath(line[2]) for line in words if line[0].startswith("libpython")}
    assert {str(path.resolve()) for path in module.SHARED} == loaded


def test_a_piece_is_missing(packages: Path) -> None:
    shutil.rmtree(packages / "site/smtpd/mail")
    with pytest.raises(FileNotFoundError):
        check_reachable(USER, USER)


LOADED = """
import runpy, sys
sys.argv = ["wrapped", "maildir"]
try:
    runpy.run_module("smtpd.delivery.wrapped", run_name="__main__")
finally:
    for each in list(sys.modules.values()):
        print(getattr(each, "__file__", None) or "")
"""


def test_what_it_loads_is_what_is_looked_at(tmp_path: Path) -> None:
    env, path, python, *_ = command_words([])
    run = subprocess.run(
        [env, path, python, "-P", "-S", "-c", LOADED],
        input=b"Subject: x\n\n",
        capture_output=True,
        env={"HOME": str(tmp_path)},
        check=True,
    )
    assert len(list((tmp_path / "Maildir/new").iterdir())) == 1
    files = {Path(line).resolve() for line in run.stdout.decode().splitlines() if line}
    folders = {folder.resolve() for folder in loaded_from()}
    assert len(files) > 50
    assert {file.parent for file in files} <= folders

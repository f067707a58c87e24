"""smtpctl/commands/encrypt.py against crypt(3) itself."""

import ctypes
import ctypes.util
import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from smtpctl.commands import encrypt
from smtpctl.commands.encrypt import LONGEST, METHODS

LIBRARY = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
LIBRARY.crypt.restype = ctypes.c_char_p


def fits(password: bytes, hashed: str) -> bool:
    found: bytes = LIBRARY.crypt(password, hashed.encode())
    return found.decode() == hashed


def given_on_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    buffer = io.BytesIO(data)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))


def test_an_argument(smtpctl: Any, daemon: Any) -> None:
    daemon.running = False
    status, out, err = smtpctl("encrypt", "pass word")
    assert (status, err) == (0, "")
    assert fits(b"pass word", out.strip())
    assert not fits(b"password", out.strip())
    assert smtpctl("encrypt", "pass word").out != out, "each with its own salt"


def test_standard_input(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given_on_standard_input(monkeypatch, b"one\ntwo\r\n\xc3\xa9\xff")
    lines = smtpctl("--json", "encrypt", "--method=sha256").out.splitlines()
    hashes = [json.loads(line)["hash"] for line in lines]
    passwords = (b"one", b"two", b"\xc3\xa9\xff")
    assert all(fits(*pair) for pair in zip(passwords, hashes, strict=True))


def test_from_a_terminal_it_is_not_shown(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", lambda: "secret")
    assert fits(b"secret", smtpctl("encrypt", "--method=sha256").out.strip())


@pytest.mark.parametrize("method", METHODS)
def test_methods(smtpctl: Any, method: str) -> None:
    rounds = {"bcrypt": "4", "sha512": "1000", "sha256": "1000", "scrypt": "6"}.get(method, "1")
    out = smtpctl("encrypt", f"--method={method}", f"--rounds={rounds}", "secret").out.strip()
    assert out.startswith(METHODS[method])
    assert fits(b"secret", out)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--method=rot13", "x"], "no such method: rot13; there are yescrypt,"),
        (["--rounds=many", "x"], "no number of rounds: many"),
        (["--method=bcrypt", "--rounds=99", "x"], "$2b$ with 99 rounds: "),
        (["x" * (LONGEST + 1)], "longer than 512 bytes"),
    ],
)
def test_what_cannot_be_done(smtpctl: Any, words: list[str], reason: str) -> None:
    status, out, _ = smtpctl("encrypt", *words)
    assert status == 1
    assert reason in out


def test_a_nul(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given_on_standard_input(monkeypatch, b"a\0b\n")
    assert "cannot hold a NUL" in smtpctl("encrypt").out


def test_no_library(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("not found")

    monkeypatch.setattr(encrypt.ctypes, "CDLL", none)  # type: ignore[attr-defined]
    status, out, _ = smtpctl("encrypt", "x")
    assert status == 1
    assert "install libcrypt1" in out

import os
import socket
from pathlib import Path

import pytest

from smtpd.config import machine as machine_module
from smtpd.config.machine import FixedMachine, InsecureFile, InterfaceAddress, Machine, NoSuchName


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    machine = Machine()
    assert machine.read(str(path)) == b"12345"
    assert machine.read(str(path), 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        machine.read(str(path), 4)
    with pytest.raises(IsADirectoryError):
        machine.read(str(tmp_path))


def test_a_device_without_end_is_bounded() -> None:
    with pytest.raises(OSError, match="larger"):
        Machine().read("/dev/zero")


def test_read_guarded(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(0o640)
    machine = Machine()
    assert machine.read_guarded(str(path), 0o740) == b"secret"
    path.chmod(0o644)
    with pytest.raises(InsecureFile, match="at most rwxr-----"):
        machine.read_guarded(str(path), 0o740)
    assert machine.read_guarded(str(path), 0o755) == b"secret"
    with pytest.raises(InsecureFile, match="not owned by root"):
        machine.read_guarded(str(path), 0o755, frozenset({os.getuid() + 1}))


def test_hostname_is_the_mailname(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mailname"
    monkeypatch.setattr(machine_module, "MAILNAME_FILES", (str(tmp_path / "nope"), str(path)))
    path.write_text("mx.example.org\nother\n")
    assert Machine().hostname() == "mx.example.org"


def test_hostname_without_mailname(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "MAILNAME_FILES", ())
    monkeypatch.setattr(socket, "gethostname", lambda: "mx.example.org")
    assert Machine().hostname() == "mx.example.org"
    monkeypatch.setattr(socket, "gethostname", lambda: "mx")

    def canonical(*args: object, **named: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, 1, 6, "mx.example.net", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", canonical)
    assert Machine().hostname() == "mx.example.net"

    def unknown(*args: object, **named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert Machine().hostname() == "mx"


def test_ports() -> None:
    machine = Machine()
    assert machine.port("smtp") == 25
    assert machine.port("nosuchservice") is None
    assert machine.port("a\0b") is None


def test_resolve() -> None:
    machine = Machine()
    assert ("inet4", "127.0.0.1") in machine.resolve("localhost", "inet4")
    with pytest.raises(NoSuchName) as caught:
        machine.resolve("127.0.0.1", "inet6")
    assert not caught.value.fatal
    for name in ("a" * 300, "a..b", "no such host", "x\0y"):
        with pytest.raises(NoSuchName):
            machine.resolve(name, "")


def test_own_addresses() -> None:
    machine = Machine()
    found = machine.interface_addresses()
    loopback = [item for item in found if item.address == "127.0.0.1"]
    assert [(item.interface, item.family, "all" in item.groups) for item in loopback] == [
        ("lo", "inet4", True)
    ]
    assert machine.interface_addresses() is found
    machine.forget()
    assert machine.interface_addresses() == found
    for item in found:
        assert ("%" in item.address) == item.address.startswith("fe80:")


def test_table_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table-ldap").touch()
    monkeypatch.setattr(machine_module, "LIBEXEC", (str(tmp_path),))
    machine = Machine()
    assert machine.table_program("ldap") == str(tmp_path / "table-ldap")
    assert [machine.table_program(name) for name in ("", "nope", "../x", "a\0b")] == ["", "", "", ""]


def test_nobody_knows_the_passphrase() -> None:
    assert Machine().passphrase("a") is None


def test_fixed_machine() -> None:
    machine = FixedMachine(
        "h.example",
        (InterfaceAddress("eth0", (), "inet4", "192.0.2.1"),),
        {"n": (("inet4", "192.0.2.2"),)},
        {"p": 7},
        frozenset({"ldap"}),
        {"/f": b"12345"},
    )
    assert machine.hostname() == "h.example"
    assert [item.address for item in machine.interface_addresses()] == ["192.0.2.1"]
    assert machine.resolve("n", "") == [("inet4", "192.0.2.2")]
    assert (machine.port("p"), machine.port("q")) == (7, None)
    assert machine.table_program("ldap").endswith("/table-ldap")
    assert machine.table_program("x") == ""
    assert machine.read("/f") == machine.read_guarded("/f", 0) == b"12345"
    for name in ("nope", "/g"):
        with pytest.raises(FileNotFoundError):
            machine.read(name)
    with pytest.raises(OSError, match="larger"):
        machine.read("/f", 4)
    with pytest.raises(NoSuchName) as caught:
        machine.resolve("n", "inet6")
    assert caught.value.fatal
    with pytest.raises(NoSuchName) as caught:
        machine.resolve("192.0.2.1", "inet6")
    assert not caught.value.fatal

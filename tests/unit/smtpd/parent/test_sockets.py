"""smtpd/parent/sockets.py: listeners and the control socket, on the loopback."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd.config.model import Config, ListenAddress, Listener
from smtpd.parent import sockets as sockets_module
from smtpd.parent.sockets import listen_control, listen_smtp, shown

V4, V6 = "127.0.0.1", "::1"


def address(host: str, port: int) -> ListenAddress:
    return ListenAddress("inet6" if ":" in host else "inet4", host, port, True)


def config(*listeners: list[ListenAddress]) -> Config:
    return Config(listeners=tuple(Listener(on="x", addresses=tuple(addresses)) for addresses in listeners))


def has_inet6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((V6, 0))
    except OSError:
        return False
    return True


need_inet6 = pytest.mark.skipif(not has_inet6(), reason="this machine has no ::1")


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind((V4, 0))
        listening.listen()
        yield listening.getsockname()[1]


# SMTP


def test_listening() -> None:
    bound = listen_smtp(config([address(V4, 0)], [], [address(V4, 0), address("127.0.0.2", 0)]))
    assert [each.listener for each in bound] == [0, 2, 2]
    for each in bound:
        assert not each.socket.getblocking() and not each.socket.get_inheritable()
        with socket.create_connection(each.socket.getsockname(), timeout=5):
            connection, _ = each.socket.accept()
            connection.close()
        each.socket.close()


@need_inet6
def test_both_families_on_one_port() -> None:
    """An IPv6 socket takes no IPv4: the same port can be had for both."""
    (four,) = listen_smtp(config([address(V4, 0)]))
    port = four.socket.getsockname()[1]
    (any6,) = listen_smtp(config([address("::", port)]))
    assert any6.address == f"[::]:{port}"
    assert any6.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    four.socket.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((V4, port), timeout=5)
    any6.socket.close()


def test_an_address_in_use(taken: int) -> None:
    """It is named, and what was bound before it is let go."""
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{taken}: ") as caught:
        listen_smtp(config([address(V4, 0)], [address(V4, taken)]))
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "192.0.2.1:2525"),
        pytest.param("2001:db8::1", "[2001:db8::1]:2525", marks=need_inet6),
        ("fe80::1%nosuchif0", "[fe80::1%nosuchif0]:2525"),
        ("not.numeric", "not.numeric:2525"),
    ],
)
def test_an_address_that_cannot_be_had(host: str, said: str) -> None:
    with pytest.raises(OSError) as caught:
        listen_smtp(config([address(host, 2525)]))
    assert f"cannot listen on {said}: " in str(caught.value)


def test_a_family_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(sockets_module.socket, "socket", refuse)
    with pytest.raises(OSError, match=r"cannot listen on \[::1\]:25: Address family not supported"):
        listen_smtp(config([address(V6, 25)]))


def test_at_once_after_a_restart() -> None:
    """Connections of the one before do not keep the address."""
    (first,) = listen_smtp(config([address(V4, 0)]))
    where = first.socket.getsockname()
    with socket.create_connection(where, timeout=5):
        connection, _ = first.socket.accept()
        connection.close()  # we close first: the address is in TIME_WAIT
        first.socket.close()
    (second,) = listen_smtp(config([address(V4, where[1])]))
    assert second.socket.getsockname() == where
    second.socket.close()


def test_shown() -> None:
    assert shown(address("192.0.2.1", 25)) == "192.0.2.1:25"
    assert shown(address("2001:db8::1", 465)) == "[2001:db8::1]:465"


# control


def test_control(tmp_path: Path) -> None:
    path = tmp_path / "smtpd.sock"
    with listen_control(path) as listening:
        assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o666
        assert not listening.getblocking() and not listening.get_inheritable()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            connection, _ = listening.accept()
            connection.close()


def test_control_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        listen_control(tmp_path / "smtpd.sock").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "smtpd.sock").stat().st_mode) == 0o666


def test_a_socket_that_nobody_has_any_more(tmp_path: Path) -> None:
    path = tmp_path / "smtpd.sock"
    listen_control(path).close()
    assert path.exists()
    with listen_control(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("backlog", [0, 8])
def test_a_daemon_that_is_there(tmp_path: Path, backlog: int) -> None:
    """Whether it answers or is too busy to."""
    path = tmp_path / "smtpd.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(backlog)
        waiting = []
        if backlog == 0:
            while True:
                client = socket.socket(socket.AF_UNIX)
                client.setblocking(False)
                waiting.append(client)
                try:
                    client.connect(str(path))
                except BlockingIOError:
                    break
        with pytest.raises(OSError, match="another daemon is listening there") as caught:
            listen_control(path)
        assert caught.value.errno == errno.EADDRINUSE and str(path) in str(caught.value)
        for client in waiting:
            client.close()
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
def test_what_is_no_socket_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "smtpd.sock"
    (tmp_path / "precious").write_text("kept")
    match kind:
        case "file":
            path.write_text("kept")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "precious")
        case "fifo":
            os.mkfifo(path)
    with pytest.raises(OSError, match="is there, and no socket"):
        listen_control(path)
    assert path.is_symlink() or path.exists()
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "said"), [("x" * 108, "longer than the path of a socket may be"), ("nowhere/x", "No such file")]
)
def test_paths_that_cannot_be(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(OSError, match=said) as caught:
        listen_control(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_the_longest_path(tmp_path: Path) -> None:
    room = 107 - len(str(tmp_path)) - 1
    if room < 1:
        pytest.skip("the folder for tests has too long a name itself")
    listen_control(tmp_path / ("x" * room)).close()

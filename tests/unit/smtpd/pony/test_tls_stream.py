"""TLS without a socket: both ends in one test, bytes carried by hand, whole and one at a time."""

import ssl

import pytest
from certificates import Authority, Pair
from hypothesis import given
from hypothesis import strategies as st

from smtpd.pony.tls_stream import TlsError, TlsStream


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("mx.test", "192.0.2.1", "2001:db8::1")


def client_context(authority: Authority | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = authority is not None
    context.verify_mode = ssl.CERT_NONE if authority is None else ssl.CERT_REQUIRED
    if authority is not None:
        context.load_verify_locations(authority.cert)
    return context


class Ends:
    """A client, a server, and the wire between them. `got`: what each has read."""

    def __init__(self, client: TlsStream, server: TlsStream, piece: int = 1 << 20) -> None:
        self.client, self.server, self.piece = client, server, piece
        self.got = {client: b"", server: b""}

    def carry(self) -> None:
        """Until nobody has anything to say."""
        moved = True
        while moved:
            moved = False
            for one, other in ((self.client, self.server), (self.server, self.client)):
                data = one.take_output()
                for start in range(0, len(data), self.piece):
                    moved = True
                    self.got[other] += other.receive(data[start : start + self.piece])

    def begin(self) -> "Ends":
        self.client.begin()
        self.carry()
        assert self.client.started and self.server.started
        return self


@pytest.fixture(params=[1 << 20, 1], ids=["whole", "byte by byte"])
def ends(request: pytest.FixtureRequest, authority: Authority, pair: Pair) -> Ends:
    client = TlsStream(client_context(authority), server_name="mx.test")
    return Ends(client, TlsStream(pair.server(), server_side=True), request.param).begin()


def test_data_both_ways(ends: Ends) -> None:
    ends.client.write(b"EHLO x\r\n")
    ends.server.write(b"250 y\r\n")
    ends.carry()
    assert ends.got == {ends.client: b"250 y\r\n", ends.server: b"EHLO x\r\n"}


def test_an_end_that_is_said(ends: Ends) -> None:
    ends.client.write(b"QUIT\r\n")
    ends.client.close()
    ends.carry()
    assert ends.server.ended and ends.got[ends.server] == b"QUIT\r\n"
    assert not ends.client.ended
    ends.server.close()
    ends.carry()
    assert ends.client.ended


def test_what_was_agreed_on(ends: Ends, pair: Pair) -> None:
    version, cipher, bits = str(ends.client).split(":")
    assert (version, bits) == ("TLSv1.3", "256") and cipher.startswith("TLS_AES_256")
    assert ends.client.fingerprint.startswith("SHA256:") and len(ends.client.fingerprint) == 7 + 64
    assert ends.server.fingerprint == ""


@given(st.binary(max_size=100_000))
def test_any_data_comes_through(authority: Authority, pair: Pair, data: bytes) -> None:
    client = TlsStream(client_context(), server_name="mx.test")
    ends = Ends(client, TlsStream(pair.server(), server_side=True)).begin()
    client.write(data)
    ends.carry()
    assert ends.got[ends.server] == data


@pytest.mark.parametrize("name", ["192.0.2.1", "2001:db8::1", "MX.test", "mx.test."])
def test_names_that_the_certificate_has(authority: Authority, pair: Pair, name: str) -> None:
    client = TlsStream(client_context(authority), server_name=name)
    Ends(client, TlsStream(pair.server(), server_side=True)).begin()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("192.0.2.2", "IP address mismatch"),
        ("other.test", "Hostname mismatch, certificate is not valid for 'other.test'"),
    ],
)
def test_names_that_it_has_not(authority: Authority, pair: Pair, name: str, why: str) -> None:
    client = TlsStream(client_context(authority), server_name=name)
    ends = Ends(client, TlsStream(pair.server(), server_side=True))
    with pytest.raises(TlsError, match=f"^certificate verify failed: {why}"):
        ends.begin()
    assert not client.started
    with pytest.raises(TlsError, match="alert"):
        ends.server.receive(client.take_output())


@pytest.mark.parametrize("name", ["x" * 70 + ".test", "a..b", ".test"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(TlsError, match="not a host name"):
        TlsStream(client_context(), server_name=name)


@pytest.mark.parametrize(
    "answer",
    [b"220 hello\r\n", b"\0" * 100, b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x03\x03\xff\xff" + b"x" * 70000],
)
def test_what_is_no_handshake(answer: bytes) -> None:
    client = TlsStream(client_context(), server_name="mx.test")
    client.begin()
    assert client.take_output().startswith(b"\x16\x03")
    with pytest.raises(TlsError):
        client.receive(answer)


@given(st.binary(max_size=400))
def test_no_bytes_do_harm(data: bytes) -> None:
    client = TlsStream(client_context(), server_name="mx.test")
    client.begin()
    client.take_output()
    try:
        assert client.receive(data) == b""
    except TlsError as error:
        assert str(error) and "\n" not in str(error)
    assert not client.started


def test_data_that_was_changed_on_the_way(ends: Ends) -> None:
    ends.server.write(b"250 ok\r\n")
    record = bytearray(ends.server.take_output())
    record[-1] ^= 1
    with pytest.raises(TlsError, match="bad record mac|decryption failed"):
        ends.client.receive(bytes(record))

"""smtpd/protocol/srs.py. VECTORS is what OpenSMTPD's srs.c wrote for the same input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress, parse
from smtpd.protocol import srs
from smtpd.protocol.srs import SrsError, decode, encode, is_rewritten

DAY = 1700000000 // 86400
TTL = 4
FIRST = "SRS0=fROG=G3=example.org=bob@relay.example"
SECOND = "SRS1=yCsC=relay.example==fROG=G3=example.org=bob@second.example"
VECTORS = [
    ("bob@example.org", "relay.example", DAY, FIRST),
    ("bob+x=y@example.org", "relay.example", DAY, "SRS0=8W0d=G3=example.org=bob+x=y@relay.example"),
    ("u1@example.org", "relay.example", DAY, "SRS0=_v53=G3=example.org=u1@relay.example"),
    ("u7@example.org", "relay.example", DAY, "SRS0=15e-=G3=example.org=u7@relay.example"),
    ("last.day@example.org", "relay.example", 1023, "SRS0=jeep=77=example.org=last.day@relay.example"),
    ("first.day@example.org", "relay.example", 1024, "SRS0=nZ5H=AA=example.org=first.day@relay.example"),
    (FIRST, "second.example", DAY, SECOND),
    (FIRST.replace("SRS0", "srs0"), "second.example", DAY, SECOND),
    (
        "SRS1=Hash=relay.example==fROG=G3=example.org=bob@second.example",
        "third.example",
        DAY,
        "SRS1=k1SG=relay.example==fROG=G3=example.org=bob@third.example",
    ),
]


def undo(text: str, *, keys: tuple[str, ...] = ("key",), day: int = DAY, ttl: int = TTL) -> str:
    return str(decode(parse(text), keys, ttl, day))


@pytest.mark.parametrize(("sender", "domain", "day", "rewritten"), VECTORS)
def test_as_opensmtpd_writes_it(sender: str, domain: str, day: int, rewritten: str) -> None:
    assert encode(sender, domain, "key", day) == rewritten
    back = undo(rewritten, day=day)
    assert back == (sender if rewritten.startswith("SRS0") else FIRST)


def test_key_with_blanks() -> None:
    assert encode("a@b", "c", "secret words", 1) == "SRS0=LZdJ=AB=b=a@c"


def test_another_forwarder() -> None:
    """What comes back to the second goes to the first, and from there to the sender."""
    assert undo(SECOND) == FIRST
    assert undo(FIRST) == "bob@example.org"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bob@example.org", "not a rewritten address"),
        ("SRS0=@relay.example", "the hash is not ours"),
        ("SRS0=fROG", "the hash is not ours"),
        ("SRS0=FROG=G3=example.org=bob@relay.example", "the hash is not ours"),  # forged
        ("SRS0=frog=G3=example.org=bob@relay.example", "the hash is not ours"),  # in lower case
        ("SRS0=fROG=g3=example.org=bob@relay.example", "the hash is not ours"),
        ("SRS0=fROG=G3=example.org=eve@relay.example", "the hash is not ours"),
        ("SRS0=fROG=G3=example.org=bob@other.example", "the hash is not ours"),
        ("SRS1=fROG=G3=example.org=bob@relay.example", "no time stamp"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(SrsError, match=f"^{reason}$"):
        undo(text)


def signed(kind: str, rest: str) -> str:
    return f"{kind}={srs._hash('key', rest)}={rest}"


@pytest.mark.parametrize(
    ("kind", "rest", "reason"),
    [
        ("SRS0", "G@", "no time stamp"),
        ("SRS0", "1!=d=u@r", "no time stamp"),
        ("SRS0", "g3=d=u@r", "no time stamp"),
        ("SRS0", "G3=user@r", "no separator"),
        ("SRS0", f"G3={'x' * 260}@r", "address too long"),
        ("SRS1", "first@r", "no separator"),
        ("SRS1", "first==HHHH=G@r", "no time stamp"),
        ("SRS1", "first==HHHH=G3x@r", "no time stamp"),
        ("SRS1", f"{'d' * 120}==HHHH=G3={'x' * 127}@r", "address too long"),
    ],
)
def test_signed_but_senseless(kind: str, rest: str, reason: str) -> None:
    """Only who knows the key could write these."""
    user, _, domain = signed(kind, rest).rpartition("@")
    with pytest.raises(SrsError, match=f"^{reason}"):
        decode(MailAddress(user, domain), ("key",), TTL, DAY)


@pytest.mark.parametrize("address", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("later", "good"),
    [(0, True), (4, True), (5, False), (1022, False), (1023, True), (-1, True), (-2, False)],
)
def test_age(address: str, later: int, good: bool) -> None:
    if good:
        undo(address, day=DAY + later)
    else:
        with pytest.raises(SrsError, match="days old"):
            undo(address, day=DAY + later)
    undo(address, day=DAY + later, ttl=1023)


def test_keys() -> None:
    assert undo(FIRST, keys=("new", "key")) == "bob@example.org"
    with pytest.raises(SrsError):
        undo(FIRST, keys=("new", "newer"))
    with pytest.raises(SrsError):
        undo(FIRST, keys=())


def test_what_would_be_too_long_keeps_its_sender() -> None:
    room = srs.ADDRESS_MAX - len("SRS0=HHHH=TT=b=@c")
    assert encode("x" * room + "@b", "c", "key", 1).startswith("SRS0=")
    for sender in ("x" * (room + 1) + "@b", "é" * room + "@b", "x" * 300 + "@b", "SRS0=" + "x" * 249 + "@b"):
        assert encode(sender, "c", "key", 1) == sender
    assert encode("SRS1=HHH", "", "key", 1) == "SRS1=HHH"
    assert encode("SRS1=HHHHXX@b", "c", "key", 1) == "SRS1=HHHHXX@b"


def test_is_rewritten() -> None:
    assert is_rewritten("SRS0=x") and is_rewritten("srs1=")
    assert not is_rewritten("SRS0") and not is_rewritten("SRS2=x") and not is_rewritten("")


@pytest.mark.parametrize("whole", [FIRST, SECOND])
def test_beginnings_and_a_tail(whole: str) -> None:
    for end in range(len(whole)):
        with pytest.raises(SrsError):
            undo(whole[:end])
    for tail in ("x", "=", "@", "@relay.example", "\0", "\udcff"):
        with pytest.raises(SrsError):
            undo(whole + tail)


LOCAL = st.text("abcXYZ019=+-._", min_size=1, max_size=30)
DOMAIN = st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,2}", fullmatch=True)
DAYS = st.integers(0, 100_000)


@given(LOCAL, DOMAIN, st.lists(DOMAIN, min_size=1, max_size=4), DAYS, st.integers(0, TTL))
def test_back_through_all_forwarders(
    user: str, domain: str, forwarders: list[str], day: int, later: int
) -> None:
    address = f"{user}@{domain}" if not is_rewritten(user) else f"x@{domain}"
    hops = [address]
    for forwarder in forwarders:
        hops.append(encode(hops[-1], forwarder, "key", day))
    back = hops[-1]
    for _ in range(2):
        if is_rewritten(back):
            back = undo(back, day=day + later)
    assert back == address


@given(LOCAL, DOMAIN, DAYS, st.integers(0, 60), st.characters())
def test_no_change_is_believed(user: str, domain: str, day: int, at: int, c: str) -> None:
    good = encode(f"{user}@{domain}", "relay.example", "key", day)
    at %= len(good)
    changed = good[:at] + c + good[at + 1 :]
    same = changed == good or changed[:5].upper() == "SRS0=" and at < 5 or at == 9
    try:
        back = undo(changed, day=day)
    except SrsError:
        assert not same or changed != good
    else:
        assert same and back == f"{user}@{domain}"


@given(st.text(max_size=60), st.text(max_size=20), st.sampled_from(["SRS0=", "SRS1=", "srs0=", ""]))
def test_any_text(user: str, domain: str, prefix: str) -> None:
    encode(f"{prefix}{user}@{domain}", domain, "key", DAY)
    with pytest.raises(SrsError):
        decode(MailAddress(prefix + user, domain), ("key",), TTL, DAY)

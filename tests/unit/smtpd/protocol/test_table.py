import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.table import MAX_LINE, SERVICES, Answer, TableDialog, TableProtocolError


def dialog(*services: str) -> TableDialog:
    made = TableDialog("devs")
    made.receive("".join(f"register|{service}\n" for service in (*services, "ready")).encode())
    return made


def test_handshake() -> None:
    made = TableDialog("devs")
    assert made.begin() == (
        b"config|smtpd-version|7.8.0\nconfig|protocol|0.1\nconfig|tablename|devs\nconfig|ready\n"
    )
    assert made.services is None
    assert made.receive(b"register|alias\nregister|creden") == []
    assert made.services is None
    made.receive(b"tials\nregister|ready\n")
    assert made.services == {"alias", "credentials"}


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "register|nope\n",
        "register|none\n",
        "register|ready\n",
        "lookup-result|1|not-found\n",
        "register\n",
    ],
)
def test_handshake_refused(text: str) -> None:
    with pytest.raises(TableProtocolError):
        TableDialog("t").receive(text.encode())


def test_questions() -> None:
    made = dialog("alias")
    asked = [
        made.ask("lookup", 1, 1713795082.354255, "alias", "op|x"),
        made.ask("check", 0xB72508D0, 2.0, "netaddr", "192.0.2.1"),
        made.ask("fetch", 3, 3.5, "source"),
        made.ask("update", 4, 4.0),
    ]
    assert asked == [
        b"table|0.1|1713795082.354255|devs|lookup|alias|00000001|op|x\n",
        b"table|0.1|2.000000|devs|check|netaddr|b72508d0|192.0.2.1\n",
        b"table|0.1|3.500000|devs|fetch|source|00000003\n",
        b"table|0.1|4.000000|devs|update|00000004\n",
    ]
    assert made.waiting == 4
    with pytest.raises(ValueError, match="in use"):
        made.ask("update", 4, 5.0)
    for key in ("a\nb", "a\r", "\0"):
        with pytest.raises(ValueError, match="line end"):
            made.ask("lookup", 9, 0.0, "alias", key)


def test_answers_in_any_order() -> None:
    made = dialog("alias")
    made.ask("lookup", 1, 0.0, "alias", "a")
    made.ask("check", 2, 0.0, "alias", "b")
    made.ask("update", 3, 0.0)
    made.ask("fetch", 4, 0.0, "source")
    made.ask("lookup", 5, 0.0, "alias", "c")
    text = (
        b"update-result|3|error|no | database\nlookup-result|5|not-found\nlookup-result|4|found|192.0.2.1\n"
        b"check-result|00000002|found\nlookup-result|1|found|x|y\n"
    )
    assert made.receive(text) == [
        Answer(3, "error", "no | database"),
        Answer(5, "not-found"),
        Answer(4, "found", "192.0.2.1"),
        Answer(2, "found"),
        Answer(1, "found", "x|y"),
    ]
    assert made.waiting == 0


def test_update_ok_and_error_without_reason() -> None:
    made = dialog("alias")
    made.ask("update", 1, 0.0)
    made.ask("update", 2, 0.0)
    assert made.receive(b"update-result|1|ok\nupdate-result|2|error\n") == [
        Answer(1, "ok"),
        Answer(2, "error", "no reason given"),
    ]


def test_byte_by_byte_with_a_tail() -> None:
    text = b"lookup-result|1|found|\xff\xc3\xa9\ncheck-result|2|not-found\nlookup-res"
    answers = []
    made = dialog("alias")
    made.ask("lookup", 1, 0.0, "alias", "a")
    made.ask("check", 2, 0.0, "alias", "a")
    for at in range(len(text)):
        answers += made.receive(text[at : at + 1])
    assert answers == [Answer(1, "found", "\udcffé"), Answer(2, "not-found")]


def test_forgotten_answers_are_passed_over() -> None:
    made = dialog("alias")
    made.ask("lookup", 1, 0.0, "alias", "a")
    made.forget(1)
    made.forget(2)
    assert made.waiting == 1
    assert made.receive(b"lookup-result|1|found|late\n") == []
    assert made.waiting == 0


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\n",
        "\n",
        "lookup-result\n",
        "lookup-result|2|not-found\n",
        "lookup-result|x|not-found\n",
        "lookup-result|-1|not-found\n",
        "lookup-result|123456789|not-found\n",
        "lookup-result|1|\n",
        "lookup-result|1|found\n",
        "lookup-result|1|found|\n",
        "lookup-result|1|ok\n",
        "check-result|1|found\n",
        "update-result|1|ok\n",
        "lookup|1|not-found\n",
        "register|alias\n",
        "x" * (MAX_LINE + 1),
        "x" * (MAX_LINE + 1) + "\n",
    ],
)
def test_what_is_no_answer(text: str) -> None:
    made = dialog("alias")
    made.ask("lookup", 1, 0.0, "alias", "a")
    with pytest.raises(TableProtocolError):
        made.receive(text.encode())


def test_errors_are_printable() -> None:
    with pytest.raises(TableProtocolError) as caught:
        TableDialog("t").receive(b"\x1b[31m\xff\n")
    assert str(caught.value).isprintable()


@given(st.lists(st.binary(max_size=60)), st.booleans())
def test_any_bytes(parts: list[bytes], begun: bool) -> None:
    made = dialog(*SERVICES) if begun else TableDialog("t")
    if begun:
        made.ask("lookup", 1, 0.0, "alias", "a")
    try:
        for part in parts:
            for answer in made.receive(part):
                assert answer.number == 1
    except TableProtocolError:
        pass

"""smtpctl/see/ladder.py: columns, arrows in both directions, silences, what does not fit."""

from traffic import MESSAGES_OF_A_MAIL, START, Traffic

from smtpctl.see.flow import Flow, flow_of, join
from smtpctl.see.joining import Message
from smtpctl.see.ladder import WIDTH, ladder
from smtpctl.see.seen import OUT, Seen
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_lookup import ReverseName


def mail() -> Flow:
    return flow_of(join(Traffic().mail(0xCB4DE24F, 0xCA5D4878260E45A8)), "cb4de24f")


def one(time: int, sender: str = "pony", receiver: str = "lookup", address: str = "192.0.2.1") -> Message:
    number, payload = CATALOGUE.encode(ReverseName(address, 7))
    return Message(Seen(time, sender, receiver, OUT, number, 16 + len(payload), 1, 2, payload))


def test_a_mail() -> None:
    title, heads, *lines = ladder(mail())
    assert title == "mail cb4de24f" and len(lines) == MESSAGES_OF_A_MAIL
    assert heads.split() == ["delivery", "parent", "lookup", "pony", "queue", "scheduler"]
    assert lines[0] == (
        "    0.000 ms       │          │          │◀─────────┤          │          │       "
        "ReverseName  address=192.0.2.1 session=ca5d4878260e45a8"
    )
    assert lines[3].split("ms ")[1].strip() == (
        "│          │          │          │◀╌╌╌╌╌╌╌╌╌┤          │       "
        "MessageCreated  (after 150 µs)  msgid=cb4de24f"
    )
    assert "├──────────┼─────────▶│" in lines[7]  # past pony
    assert "◀╌╌╌⊕╌╌╌╌╌┤" in lines[11]  # with a descriptor
    assert not any("reqid=" in line or "error=''" in line for line in lines)


def test_every_arrow_is_between_its_columns() -> None:
    flow = mail()
    processes = flow.processes
    for message, line in zip(flow.messages, list(ladder(flow))[2:], strict=True):
        rails = line[14 : 14 + WIDTH * len(processes)]
        start, end = (
            ("├", "▶") if processes.index(message.sender) < processes.index(message.receiver) else ("┤", "◀")
        )
        assert rails.index(start) == processes.index(message.sender) * WIDTH + WIDTH // 2 - 1 + 1
        assert abs(rails.index(end) - processes.index(message.receiver) * WIDTH - WIDTH // 2) == 1
        assert rails.count("▶") + rails.count("◀") == 1


def test_silence_is_said() -> None:
    lines = list(ladder(Flow("slow", [one(START), one(START + 2_500_000_000)])))
    assert lines[3].endswith("(2.5 s later)") and "┊" in lines[3]
    assert lines[4].startswith(" 2500.000 ms")


def test_a_long_wait_in_the_socket_is_said() -> None:
    message = one(START)
    message.received = START + 30_000_000
    assert "(30 ms in the socket)" in list(ladder(Flow("", [message])))[2]


def test_width_and_colour() -> None:
    lines = list(ladder(mail(), width=90))
    assert max(map(len, lines[2:])) == 90 and lines[2].endswith("…")
    coloured = list(ladder(mail(), colour=True))[2]
    assert "\033[0;1mReverseName\033[0m" in coloured


def test_hostile_text_commands_no_terminal() -> None:
    line = list(ladder(Flow("", [one(START, address="\x1b[2J\n")])))[2]
    assert line.isprintable() and r"\x1b[2J\n" in line


def test_nothing() -> None:
    assert list(ladder(Flow("nothing", [])))[0] == "nothing"

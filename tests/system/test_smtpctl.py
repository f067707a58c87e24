"""smtpctl against a live daemon: what waits, what is paused, what is removed, what the counters say."""

import json
import re
import socket
import subprocess
import sys

import pytest
import tree
from daemon import RELAY, mail


@pytest.fixture
def waiting(daemon, sink):
    """A daemon whose transfers are paused, with three mails for the relay in its queue, and the sink."""
    to = sink()
    one = daemon(RELAY, sink=to.port)
    one.ctl("pause", "mta")
    for number in range(3):
        one.send(f"sender{number}@source.test", "rcpt@relay.test", mail(subject=f"number {number}"))
    return one, to


def test_show_queue_has_the_fields_of_the_manual(waiting) -> None:
    one, _ = waiting
    lines = one.envelopes()
    assert len(lines) == 3
    for line in lines:
        fields = line.split("|")
        assert re.fullmatch(r"[0-9a-f]{16}", fields[0])
        assert fields[1:4] == ["inet4", "mta", ""]
        assert re.fullmatch(r"sender\d@source\.test", fields[4])
        assert fields[5:7] == ["rcpt@relay.test", "rcpt@relay.test"]
        created, expires, last_try, tries = (int(field) for field in fields[7:11])
        assert expires - created == 4 * 24 * 3600
        assert (last_try, tries) == (0, 0)
        assert fields[11] == "pending"


def test_show_queue_of_one_message_and_as_json(waiting) -> None:
    one, _ = waiting
    evpid = one.envelopes()[1].split("|")[0]
    assert [line.split("|")[0] for line in one.ctl("show", "queue", evpid[:8]).splitlines()] == [evpid]
    values = [json.loads(line) for line in one.ctl("--json", "show", "queue").splitlines()]
    assert evpid in [value["envelope"] for value in values]


def test_commands_may_be_shortened(waiting) -> None:
    one, _ = waiting
    # The last field is the seconds until the next try.
    short, whole = (
        [line.split("|")[:-2] for line in one.ctl(*words).splitlines()]
        for words in (("sh", "q"), ("show", "queue"))
    )
    assert short == whole
    assert len(short) == 3


def test_resume_lets_the_mails_go(waiting) -> None:
    one, to = waiting
    assert to.taken == []
    one.ctl("resume", "mta")
    to.wait(3)
    one.wait_empty()
    assert one.envelopes() == []


def test_remove_by_envelope_message_and_all(waiting) -> None:
    one, to = waiting
    first, second, _ = [line.split("|")[0] for line in one.envelopes()]
    one.ctl("remove", first)
    assert first not in [line.split("|")[0] for line in one.envelopes()]
    one.ctl("remove", second[:8])
    assert len(one.envelopes()) == 1
    one.ctl("remove", "all")
    assert one.envelopes() == []
    assert list((one.state / "spool/queue").glob("*/*/*")) == []
    one.ctl("resume", "mta")
    one.send("last@source.test", "rcpt@relay.test")
    assert [taken.sender for taken in to.wait(1)] == ["last@source.test"]


def test_pause_envelope_holds_one_back(waiting) -> None:
    one, to = waiting
    held = one.envelopes()[0].split("|")
    one.ctl("pause", "envelope", held[0])
    one.ctl("resume", "mta")
    assert held[4] not in [taken.sender for taken in to.wait(2)]
    (line,) = one.envelopes()
    assert line.split("|")[0] == held[0]
    assert "suspend" in line.split("|")[3]
    one.ctl("resume", "envelope", held[0])
    to.wait(3)
    one.wait_empty()


def test_show_envelope_and_message(waiting) -> None:
    one, _ = waiting
    evpid, *_ = one.envelopes()[0].split("|")
    assert "dest: rcpt@relay.test" in one.ctl("show", "envelope", evpid)
    assert "Subject: number" in one.ctl("show", "message", evpid)
    assert one.ctl("show", "message", evpid[:8]) == one.ctl("show", "message", evpid)


def test_show_status_says_what_is_paused(waiting) -> None:
    one, _ = waiting
    assert one.ctl("show", "status") == "MDA running\nMTA paused\nSMTP running\n"
    one.ctl("resume", "mta")
    one.ctl("pause", "mda")
    one.ctl("pause", "smtp")
    assert one.ctl("show", "status") == "MDA paused\nMTA running\nSMTP paused\n"
    one.ctl("resume", "smtp")
    with one.smtp() as client:
        assert client.noop()[0] == 250


def test_pause_smtp_accepts_nothing_until_resumed(daemon) -> None:
    one = daemon()
    one.ctl("pause", "smtp")
    with socket.create_connection(("127.0.0.1", one.port)) as client:
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        one.ctl("resume", "smtp")
        client.settimeout(5)
        assert client.recv(4) == b"220 "


def test_counters_go_up(daemon) -> None:
    one = daemon()

    def counters() -> dict[str, int]:
        lines = one.ctl("show", "stats").splitlines()
        table = dict(line.split("=", 1) for line in lines)
        return {name: int(value) for name, value in table.items() if value.isdigit()}

    before = counters()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    one.wait_empty()
    after = counters()
    for name in ("smtp.session.inet4", "scheduler.delivery.ok"):
        assert after.get(name, 0) == before.get(name, 0) + 1, name
    assert after.get("scheduler.envelope", 0) == 0
    assert after["uptime"] >= before.get("uptime", 0)


def test_trace_imsg_logs_the_life_of_a_mail_and_untrace_ends_it(daemon) -> None:
    one = daemon()
    one.ctl("trace", "imsg")
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    one.wait_empty()
    log = one.wait_log("EnvelopeDone") and one.log_since_start()
    for kind in (
        "CreateMessage",
        "ExpandRecipient",
        "CommitMessage",
        "EnvelopesReady",
        "DeliverMda",
        "DeliveryOk",
    ):
        assert kind in log, kind
    one.ctl("untrace", "imsg")
    one.ctl("show", "status")
    mark = len(one.log())
    one.send("a@source.test", "you@localhost")
    one.mails("you", 2)
    assert "CreateMessage" not in one.log()[mark:]


def test_log_verbose_and_brief(daemon) -> None:
    one = daemon()
    one.ctl("log", "verbose")
    one.ctl("log", "brief")
    assert "verbose" in one.log() or "brief" in one.log()


def test_without_a_daemon_the_queue_is_read_from_the_spool(waiting) -> None:
    one, _ = waiting
    live = {line.split("|")[0] for line in one.envelopes()}
    assert one.stop() == 0
    offline = one.envelopes()
    assert {line.split("|")[0] for line in offline} == live
    assert {line.split("|")[11] for line in offline} == {"offline"}
    done = subprocess.run(
        [sys.executable, "-m", "smtpctl", "--state", str(one.state), "show", "status"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr


def test_mailq_shows_the_queue(waiting) -> None:
    one, _ = waiting
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from smtpctl.__main__ import mailq; sys.exit(mailq(sys.argv[1:]))",
        ],
        cwd=tree.ROOT,
        env={"SMTPD_SOCKET": str(one.state / "smtpd.sock"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 64, b"\xff" * 16384, b"\1\2\3"],
    ids=["http", "zeros", "ones", "three bytes"],
)
def test_garbage_on_the_socket_disturbs_nobody(daemon, garbage: bytes) -> None:
    one = daemon()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(one.state / "smtpd.sock"))
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(5)
        while client.recv(1000):  # it says hello before it knows whom to
            pass
    assert "MTA running" in one.ctl("show", "status")


def test_many_clients_at_once_are_served_or_refused(daemon) -> None:
    one = daemon()
    clients = []
    try:
        for _ in range(300):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(5)
            client.connect(str(one.state / "smtpd.sock"))
            clients.append(client)
    except OSError:
        assert len(clients) >= 50
    finally:
        for client in clients:
            client.close()
    assert "MTA running" in one.ctl("show", "status")
    one.send("a@source.test", "you@localhost")
    one.mails("you")

"""Mail that goes on to another host: content, connections used again, and what the host's answers do."""

import time

from daemon import RELAY, body_of, mail


def test_a_mail_arrives_at_the_host_byte_for_byte(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    content = mail(body=".\r\n..\r\n.one\r\nGrüße\r\n" + "x" * 900 + "\r\n")
    one.send("a@source.test", "b@relay.test", content)
    (got,) = to.wait(1)
    assert (got.sender, got.rcpts) == ("a@source.test", ("b@relay.test",))
    header, _, body = got.content.partition(b"\r\n\r\n")
    assert body == content.partition(b"\r\n\r\n")[2]
    assert header.startswith(b"Received: from client.test")
    assert header.endswith(content.partition(b"\r\n\r\n")[0])
    one.wait_empty()


def test_the_host_has_its_name_from_the_hosts_file(daemon, sink) -> None:
    """In lists and in the log, as OpenSMTPD has it. It is not waited for: the first lines may be without."""
    to = sink()
    one = daemon(RELAY, sink=to.port)
    until = time.monotonic() + 20
    while 'relay="127.0.0.1 (localhost)"' not in one.log():
        assert time.monotonic() < until, one.log()
        one.send("a@source.test", "b@relay.test")
        time.sleep(0.2)
    assert one.ctl("show", "hosts").startswith("127.0.0.1 localhost refcount=")


def test_connections_are_used_again(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    with one.smtp() as client:
        for _ in range(30):
            client.sendmail("a@source.test", ["b@relay.test"], mail())
    got = to.wait(30)
    assert len({taken.connection for taken in got}) < 15
    one.wait_empty()


def test_several_recipients_of_a_message_get_it_once_each(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    rcpts = [f"user{number}@relay.test" for number in range(8)]
    one.send("a@source.test", rcpts)
    one.wait_empty()
    assert sorted(rcpt for taken in to.taken for rcpt in taken.rcpts) == sorted(rcpts)


def test_a_temporary_failure_is_tried_again(daemon, sink) -> None:
    tries = []

    def once(line: str) -> str:
        tries.append(line)
        return "451 4.3.0 Later" if len(tries) == 1 else ""

    to = sink({"RCPT": once})
    one = daemon(RELAY, sink=to.port)
    one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    (line,) = one.envelopes()
    assert "451 4.3.0 Later" in line
    one.ctl("schedule", "all")
    to.wait(1)
    one.wait_empty()


def test_a_host_that_is_down_keeps_the_mail_until_it_is_back(daemon, sink) -> None:
    to = sink()
    to.close()
    one = daemon(RELAY, sink=to.port)
    one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    assert len(one.envelopes()) == 1
    again = sink(port=to.port)
    until = time.monotonic() + 20
    while not again.taken and time.monotonic() < until:
        one.ctl("schedule", "all")
        time.sleep(0.5)
    assert len(again.taken) == 1
    one.wait_empty()


def test_a_connection_that_breaks_after_the_dot_sends_the_mail_again(daemon, sink) -> None:
    broken = []

    def hang_up(line: str) -> str:
        if broken:
            return ""
        broken.append(line)
        raise ConnectionAbortedError

    to = sink({".": hang_up})
    one = daemon(RELAY, sink=to.port)
    content = one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    one.ctl("schedule", "all")
    (got,) = to.wait(1)
    assert body_of(got.content) == body_of(content)
    one.wait_empty()


def test_what_waits_survives_a_stop_and_a_start(daemon, sink) -> None:
    to = sink({"MAIL": "421 4.3.2 Not now"})
    one = daemon(RELAY, sink=to.port)
    for _ in range(3):
        one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    assert one.stop() == 0
    to.answers.clear()
    one.start()
    one.ctl("schedule", "all")
    to.wait(3)
    one.wait_empty()


def test_null_sender_and_long_addresses(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    rcpt = "x" * 64 + "@relay.test"
    one.send("", rcpt)
    (got,) = to.wait(1)
    assert (got.sender, got.rcpts) == ("", (rcpt,))

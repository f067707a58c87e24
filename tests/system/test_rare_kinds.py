"""What no other mail sets off: messages between the processes that only a loop, an end of the time to live, a
relay's host by its name, or a delivery agent that hangs has them send.
"""

import os
import signal
import time

import pytest
from daemon import LOCAL, RELAY, mail


def test_a_mail_that_was_here_before_is_a_loop(daemon) -> None:
    """DeliveryLoop."""
    one = daemon(LOCAL)
    content = b"Delivered-To: you@localhost\r\n" + mail("me@localhost", subject="again")
    one.send("me@localhost", "you@localhost", content)
    (bounce,) = one.mails("me")
    assert b"again" in bounce and b"oop" in bounce
    one.wait_empty()
    assert "Loop detected" in one.log()


def test_a_mail_that_waited_too_long_comes_back(daemon, sink) -> None:
    """ExpireEnvelopes."""
    to = sink({"RCPT": "451 4.3.0 Later"})
    one = daemon("queue ttl 1s\n" + RELAY, sink=to.port)
    one.send("me@localhost", "b@relay.test")
    one.wait_log("TempFail")
    until = time.monotonic() + 20
    while one.envelopes():  # its bounce among them
        one.ctl("schedule", "all")
        assert time.monotonic() < until, one.log()
        time.sleep(0.3)
    (bounce,) = one.mails("me")
    assert b"Envelope expired" in bounce
    one.wait_log("Expire")


def test_a_relay_by_name(daemon, sink) -> None:
    """FindHost; the name is in the hosts file."""
    to = sink()
    one = daemon(RELAY.replace("127.0.0.1:${sink}", "localhost:${sink}"), sink=to.port)
    assert "localhost:" in one.conf_file.read_text()
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    one.wait_empty()


@pytest.mark.soak
@pytest.mark.timeout(700)
def test_an_agent_that_hangs_is_killed_and_its_mail_delivered(daemon) -> None:
    """StopAgent, after the five minutes that an agent may be silent."""
    one = daemon(LOCAL)
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    one.wait_empty()
    (agent,) = [pid for title, pid in one.processes().items() if title.startswith("smtpd: delivery (")]
    os.kill(agent, signal.SIGSTOP)
    one.send("a@source.test", "you@localhost")
    one.wait_log("does nothing: killed", 400)
    until = time.monotonic() + 60
    while one.envelopes():
        one.ctl("schedule", "all")
        assert time.monotonic() < until, one.log()
        time.sleep(0.3)
    one.mails("you", 2)

"""smtpctl explain ENVELOPE-ID: why an envelope waits, in every way it can."""

import json
import re
import threading
import time

from daemon import RELAY, Daemon

KEYS = {
    *("evpid", "type", "action", "sender", "rcpt", "dest", "state", "suspended", "type_paused", "retry"),
    *("created", "last_try", "next_try", "since", "expires", "error", "place", "name", "host", "reasons"),
    *("routes", "paused_sources", "tries"),
}


def explained(one: Daemon, evpid: str) -> dict:
    found = json.loads(one.ctl("--json", "explain", evpid))
    assert set(found) == KEYS
    return found


def only(one: Daemon) -> str:
    (line,) = one.envelopes()
    return line.split("|")[0]


def wait_state(one: Daemon, evpid: str, **wanted: object) -> dict:
    until = time.monotonic() + 20
    while True:
        found = explained(one, evpid)
        if all(found[key] == value for key, value in wanted.items()):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_waiting_for_a_retry(daemon, sink) -> None:
    to = sink({"RCPT": "451 4.3.0 Later, please"})
    one = daemon(RELAY, sink=to.port)
    one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    evpid = only(one)
    found = wait_state(one, evpid, state="pending", retry=1)
    assert found["next_try"] > found["last_try"] >= found["created"]
    assert found["error"] == "451 4.3.0 Later, please"
    (tried,) = found["tries"]
    assert tried["status"] == "451 4.3.0 Later, please" and tried["host"].startswith("127.0.0.1")
    text = one.ctl("explain", evpid)
    assert "It waits for its next try: in " in text and "It failed 1 time" in text
    # a name of its own that hosts(5) may give this address
    assert re.search(r"-> 127\.0\.0\.1( \([\w.-]+\))?: 451 4\.3\.0 Later, please", text)
    assert re.search("It expires in (3d23h|4d)", text)
    one.ctl("pause", "envelope", evpid)
    assert explained(one, evpid)["suspended"] and explained(one, evpid)["next_try"] is None
    assert f"It is paused by itself (smtpctl resume envelope {evpid})" in one.ctl("explain", evpid)
    one.ctl("explain", f"{int(evpid, 16) ^ 1:016x}", status=1)


def test_paused_with_all_others(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    one.ctl("pause", "mta")
    one.send("a@source.test", "b@relay.test")
    found = wait_state(one, only(one), state="due", type_paused=True)
    assert found["retry"] == 0 and found["tries"] == []
    text = one.ctl("explain", only(one))
    assert "Transfers to other hosts are paused for all (smtpctl resume mta)" in text
    assert "It was not tried yet" in text
    one.ctl("resume", "mta")
    to.wait(1)


LIMITED = "mta limit max-conn-per-domain 1 task-hiwat 2 task-lowat 1 session-mail-max 100\n" + RELAY


def test_in_flight_and_held(daemon, sink) -> None:
    gate: list[str] = []

    def slow(line: str) -> str:
        until = time.monotonic() + 60
        while not gate and time.monotonic() < until:
            time.sleep(0.02)
        return ""

    to = sink({"RCPT": slow})
    one = daemon(LIMITED, sink=to.port)
    for _ in range(6):
        one.send("a@source.test", "b@relay.test")
    until = time.monotonic() + 20
    while True:
        found = [explained(one, line.split("|")[0]) for line in one.envelopes()]
        places = {(each["state"], each["place"]) for each in found}
        if ("inflight", "session") in places and ("inflight", "relay") in places and ("held", "") in places:
            break
        assert time.monotonic() < until, found
        time.sleep(0.05)
    texts = {each["state"] + each["place"]: one.ctl("explain", each["evpid"]) for each in found}
    assert "It is being transferred to 127.0.0.1" in texts["inflightsession"]
    assert "It waits for a connection of [relay:127.0.0.1" in texts["inflightrelay"]
    assert "The limit max-conn-per-domain 1 is reached." in texts["inflightrelay"]
    assert "[relay:127.0.0.1" in texts["held"] and "The limit task-hiwat 2 is reached." in texts["held"]
    gate.append("open")
    to.wait(6)
    one.wait_empty()


def test_a_host_that_is_tried_for_the_first_time(daemon, sink) -> None:
    """By one connection, whatever the limits: what else there is for it waits."""
    gate = threading.Event()
    to = sink({"CONNECT": lambda line: "" if gate.wait(60) else ""})
    one = daemon(RELAY, sink=to.port)
    for _ in range(2):
        one.send("a@source.test", "b@relay.test")
    until = time.monotonic() + 20
    while True:
        texts = [one.ctl("explain", line.split("|")[0]) for line in one.envelopes()]
        if all("A first connection to 127.0.0.1" in text for text in texts):
            break
        assert time.monotonic() < until, texts
        time.sleep(0.05)
    gate.set()
    to.wait(2)
    one.wait_empty()


def test_a_route_that_is_disabled(daemon, sink) -> None:
    to = sink({"CONNECT": "421 4.3.2 Not now"})
    one = daemon(RELAY, sink=to.port)
    one.send("a@source.test", "b@relay.test")
    one.wait_log("Disabling route")
    evpid = only(one)
    (route,) = wait_state(one, evpid, state="pending")["routes"]
    assert route["destination"].startswith("127.0.0.1")
    assert f"smtpctl resume route {route['id']}" in one.ctl("explain", evpid)


def test_a_source_that_is_paused(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY.replace(":${sink}", ":${sink} src 127.0.0.1"), sink=to.port)
    one.ctl("pause", "mta", "from", "127.0.0.1", "for", "127.0.0.1")
    one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    found = wait_state(one, only(one), state="pending", retry=1)
    assert found["paused_sources"] == [{"source": "127.0.0.1", "domain": "127.0.0.1"}]
    text = one.ctl("explain", only(one))
    assert "(smtpctl resume mta from 127.0.0.1 for 127.0.0.1)" in text


def test_expiring_soon(daemon, sink) -> None:
    to = sink({"RCPT": "451 4.3.0 Later"})
    one = daemon(RELAY.replace(":${sink}", ":${sink} ttl 200s"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    one.wait_log("TempFail")
    wait_state(one, only(one), state="pending", retry=1)
    assert "There is no try before it expires: in " in one.ctl("explain", only(one))


def test_an_unknown_id(daemon) -> None:
    said = daemon().ctl("explain", "0123456789abcdef", status=1)
    assert said == "command failed: no envelope 0123456789abcdef in the queue\n"

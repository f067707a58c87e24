"""smtpctl against Debian's on OpenSMTPD: hosts, domains, relays and routes, as each prints them.

What may differ is said by name: `side_by_side.DIFFERENCES` has the reason.
"""

import json
import re

from side_by_side import LATER, Pair, Said, differs

# Compared is what a state has in both: not the count of "references", nor spans of time ("lingering").
SPAN = r"(-|(\d+d)?(\d+h)?(\d+m)?(\d+s)?)"
HOST = re.compile(rf"(?P<address>\S+) (?P<name>\S+) refcount=\d+ nconn=(?P<nconn>\d+) lastconn={SPAN}")
RELAY = re.compile(
    rf"(?P<relay>\[relay:\S+\]) refcount=\d+ ntask=(?P<ntask>\d+) nconn=(?P<nconn>\d+) "
    rf"lastconn={SPAN} timeout={SPAN} wait=(?P<wait>[a-z,]*)(?P<hold>(ONHOLD)?)"
)
CONNECTOR = re.compile(
    rf"  connector (?P<source>\S+) refcount=\d+ nconn=(?P<nconn>\d+) "
    rf"lastconn={SPAN} timeout={SPAN} flags=(?P<flags>[A-Z_,]*)"
)
ROUTE = re.compile(
    r"(?P<id>\d+)\. (?P<source>\S+) <-> (?P<destination>\S+)(?P<name>( \(\S+\))?) "
    r"(?P<flags>[N-][D-][Q-][K-]) nconn=(?P<nconn>\d+) nerror=(?P<nerror>\d+) "
    rf"penalty=(?P<penalty>\d+) timeout={SPAN}"
)


def read(pattern: re.Pattern[str], said: Said) -> list[dict[str, str]]:
    """Every line, which must fit."""
    assert (said.status, said.err) == (0, "")
    found = []
    for line in said.lines:
        fits = pattern.fullmatch(line)
        assert fits, line
        found.append(fits.groupdict())
    return found


def test_show_hosts_has_the_same_lines(pair: Pair) -> None:
    theirs, ours = ({row["address"]: row for row in read(HOST, said)} for said in pair.both("show", "hosts"))
    # 127.0.0.3 has no connection any more: each forgets it at a time of its own
    for address in {"127.0.0.2", *(ours.keys() & theirs.keys() & {"127.0.0.3"})}:
        assert ours[address] == theirs[address]
    assert ours["127.0.0.2"]["nconn"] == "1"


def test_show_hoststats_has_the_same_lines(pair: Pair) -> None:
    theirs, ours = (
        {line.split("|", 2)[0]: line for line in said.lines} for said in pair.both("show", "hoststats")
    )
    assert re.sub(r"\|\d+\|", "|TIME|", ours["later.test"]) == f"later.test|TIME|{LATER}"
    assert re.sub(r"\|\d+\|", "||", ours["later.test"]) == re.sub(r"\|\d+\|", "||", theirs["later.test"])
    times = [int(side["later.test"].split("|")[1]) for side in (theirs, ours)]
    assert abs(times[0] - times[1]) < 300


def test_show_relays_has_the_same_relays_and_connectors(pair: Pair) -> None:
    sides = []
    for said in pair.both("show", "relays"):
        relays: dict[str, list[dict[str, str]]] = {}
        for line in said.lines:
            if fits := RELAY.fullmatch(line):
                relays[fits["relay"]] = [fits.groupdict()]
            else:
                connector = CONNECTOR.fullmatch(line)
                assert connector, line
                relays[fits_last(relays)].append(connector.groupdict())
        sides.append(relays)
    name = f"[relay:127.0.0.2,port={pair.sinks[0].port},smtp,mx]"
    theirs, ours = (side[name] for side in sides)
    assert ours[0] == theirs[0]
    assert ours[0] == {"relay": name, "ntask": "2", "nconn": "1", "wait": "connector", "hold": "ONHOLD"}
    assert ours[1] == theirs[1] == {"source": "[]", "nconn": "1", "flags": "WAIT"}


def fits_last(relays: dict[str, list[dict[str, str]]]) -> str:
    """The relay that the lines before were about."""
    return next(reversed(relays))


def test_show_routes_has_the_same_routes(pair: Pair) -> None:
    theirs, ours = (
        {row["destination"]: row for row in read(ROUTE, said)} for said in pair.both("show", "routes")
    )
    silent, their = ours["127.0.0.2"], theirs["127.0.0.2"]
    differs("reverse name", their["name"], silent["name"])
    same = ("source", "destination", "flags", "nconn", "nerror", "penalty")
    assert {name: silent[name] for name in same} == {name: their[name] for name in same}
    assert (silent["source"], silent["flags"], silent["nconn"]) == ("[]", "N---", "1")


def test_a_route_that_fails_is_disabled_and_can_be_resumed(pair: Pair) -> None:
    for side in pair.sides:
        for row in read(
            ROUTE, side.ctl("show", "routes")
        ):  # one that is disabled already has little time left
            if row["destination"] == "127.0.0.5":
                side.ctl("resume", "route", row["id"])
        side.send("down@silent.test", ["y@down.test"])
        side.wait(lambda side: side.states().get(("down@silent.test", "y@down.test")) == "failed")
    theirs, ours = (
        {row["destination"]: row for row in read(ROUTE, said)}["127.0.0.5"]
        for said in pair.both("show", "routes")
    )
    assert ours["flags"][:2] == theirs["flags"][:2] == "ND"
    assert int(ours["penalty"]) >= 1
    assert int(theirs["penalty"]) >= 1
    differs("waiting route", theirs["flags"], ours["flags"])
    differs("errors of a route", theirs["nerror"], ours["nerror"])
    for side, row in zip(pair.sides, (theirs, ours), strict=True):
        assert side.ctl("resume", "route", row["id"]).out == "command succeeded\n"
        side.wait(lambda side: disabled(side.ctl("show", "routes")) == [])
        side.ctl("remove", side.row("down@silent.test", "y@down.test").evpid)


def disabled(said: Said) -> list[str]:
    """Destinations that are not used now."""
    return [row["destination"] for row in read(ROUTE, said) if row["flags"][1] == "D"]


def test_as_json_they_are_the_same_facts(pair: Pair) -> None:
    for what, pattern in (("hosts", HOST), ("routes", ROUTE)):
        lines = read(pattern, pair.ours.ctl("show", what))
        objects = [json.loads(line) for line in pair.ours.ctl("--json", "show", what).lines]
        assert [str(row["connections"]) for row in objects] == [row["nconn"] for row in lines]

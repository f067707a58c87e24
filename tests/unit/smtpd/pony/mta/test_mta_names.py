"""What hosts are called in the log."""

from collections.abc import Callable
from typing import Any

import pytest

from smtpd.messages.pony_lookup import FindHost, HostsFound, MxHost, ReverseName, ReverseNameFound
from smtpd.pony.mta import mta as module


def test_a_host_has_its_own_name(bench: Any, make_host: Callable[..., Any]) -> None:
    """Asked for once, and not waited for."""
    host = make_host()
    host.greeting = ""
    bench.smart(host)
    bench.relay()
    bench.process.run_until(lambda: host.connections)
    ((request, then),) = bench.lookup.asked
    assert request == ReverseName("127.0.0.1")
    then(ReverseNameFound(1, "ok", "localhost"))
    host.connections[0].say("220 x")
    bench.wait()
    assert 'relay="127.0.0.1 (localhost)"' in bench.lines[-1]
    assert str(next(iter(bench.mta.routing.hosts.values()))) == "127.0.0.1 (localhost)"
    bench.relay()
    bench.wait()
    assert len(bench.lookup.asked) == 1


@pytest.mark.parametrize(
    "reply", [ReverseNameFound(1, "none", ""), ReverseNameFound(1, "tempfail", ""), None]
)
def test_a_host_without_a_name(bench: Any, make_host: Callable[..., Any], reply: Any) -> None:
    bench.smart(make_host())
    bench.lookup.answers[ReverseName] = lambda request: reply
    bench.relay()
    bench.wait()
    assert 'relay="127.0.0.1"' in bench.lines[-1]


@pytest.mark.parametrize("reply", [ReverseNameFound(1, "tempfail", ""), None])
def test_dns_could_not_say_a_name(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, reply: Any
) -> None:
    """It, or lookup, is not there for a while: a busy host is asked for again, and not at each connection."""
    host = make_host()
    bench.smart(host)
    for seconds, asked in ((60.0, 1), (0.0, 1), (0.0, 2)):
        monkeypatch.setattr(module, "NAME_AGAIN_SECONDS", seconds)
        bench.relay()
        bench.wait()
        host.connections[-1].transport.close()  # or the next mail would go over this one
        bench.process.run_until(lambda: bench.process.stat.get("mta.session") == 0)
        assert len(bench.lookup.asked) == asked
        bench.lookup.asked[-1][1](reply)
    bench.lookup.asked[-1][1](ReverseNameFound(1, "ok", "at.last.example"))
    bench.relay()
    bench.wait()
    assert 'relay="127.0.0.1 (at.last.example)"' in bench.lines[-1]


def test_domains_that_share_a_host_have_their_own_names_for_it(
    bench: Any, make_host: Callable[..., Any]
) -> None:
    host = make_host()
    host.greeting = ""
    bench.lookup.answers[FindHost] = lambda request: HostsFound(
        1, "ok", "", False, [MxHost(0, request.name, ["127.0.0.1"])]
    )
    known = bench.mta.routing.domains
    for name in ("one.example", "two.example"):
        bench.tables["<dynamic:0>"] = [f"smtp://{name}:{host.port}"]
        bench.relay()
        bench.process.run_until(lambda name=name: host.connections and known[name, True].mxs)
    host.connections[0].say("220 x")
    bench.process.run_until(lambda: len(host.connections) == 2)  # the first has shown that the way is good
    host.connections[1].say("220 x")
    bench.process.run_until(lambda: len(bench.results()) == 2)
    for name in ("one.example", "two.example"):
        (begun,) = [line for line in bench.lines if line.endswith(f" host={name}")]
        session = begun.split()[0]
        (told,) = [line for line in bench.lines if line.startswith(f"{session} mta delivery ")]
        assert f'relay="127.0.0.1 ({name})"' in told

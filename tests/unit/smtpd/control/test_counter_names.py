"""smtpd/control/counter_names.py: all of OpenSMTPD's, each of them counted somewhere."""

import ast

import tree

from smtpd.control.counter_names import OPENSMTPDS, OWN

MISSING = {
    "smtp.smtps": "no listener speaks TLS yet",
    "smtp.tls": "no listener speaks TLS yet",
    "queue.ram.envelope.size": "a queue in memory cannot be chosen (OpenSMTPD: -B queue=ram)",
    "queue.ram.message.size": "a queue in memory cannot be chosen (OpenSMTPD: -B queue=ram)",
}
"""Those of OpenSMTPD 7.8 that are not here. Its profiling.imsg.* are not either: `show profile` has them."""

OPENSMTPD_7_8 = """\
bounce.envelope bounce.message bounce.session control.session mda.envelope mda.pending mda.running mda.user
mta.connector mta.domain mta.envelope mta.host mta.relay mta.route mta.session mta.source mta.task
mta.task.running queue.bounce queue.evpcache.load.hit queue.evpcache.load.missed queue.evpcache.size
queue.evpcache.update.hit queue.evpcache.update.missed queue.ram.envelope.size queue.ram.message.size
scheduler.delivery.loop scheduler.delivery.ok scheduler.delivery.permfail scheduler.delivery.tempfail
scheduler.envelope scheduler.envelope.expired scheduler.envelope.incoming scheduler.envelope.inflight
scheduler.envelope.removed scheduler.envelope.updated scheduler.ramqueue.envelope scheduler.ramqueue.hold
scheduler.ramqueue.hold-overflow scheduler.ramqueue.holdq scheduler.ramqueue.message
scheduler.ramqueue.update smtp.session smtp.session.inet4 smtp.session.inet6 smtp.session.local smtp.smtps
smtp.tls uptime
""".split()
"""All that its sources give to stat_increment, stat_decrement and stat_set."""


def test_each_of_opensmtpds_is_here_or_there_is_a_reason() -> None:
    here = {*OPENSMTPDS, "uptime"}  # made at the moment it is asked for
    assert not here & set(MISSING)
    assert here | set(MISSING) == set(OPENSMTPD_7_8)
    assert len(OPENSMTPDS) == len(set(OPENSMTPDS)) and not set(OWN) & set(OPENSMTPDS)


def counted() -> set[str]:
    """Every text in the processes' sources that has the form of a counter, but for this list of them."""
    found: set[str] = set()
    for path in (tree.ROOT / "smtpd").rglob("*.py"):
        if path.name == "counter_names.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.JoinedStr):
                pieces = (part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
                found.add("".join(map(str, pieces)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_each_is_counted() -> None:
    texts = counted()
    assert "smtp.session.*" in texts  # inet4, inet6, local
    missing = {name for name in (*OPENSMTPDS, *OWN) if name not in texts}
    assert missing == {"smtp.session.inet4", "smtp.session.inet6", "smtp.session.local"}


def test_nothing_is_counted_that_is_not_listed() -> None:
    first = {name.partition(".")[0] for name in OPENSMTPDS}
    calls = set()
    for path in (tree.ROOT / "smtpd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = node.args[0]
                if node.func.attr in ("add", "sub", "set") and isinstance(name, ast.Constant):
                    if isinstance(name.value, str) and name.value.partition(".")[0] in first:
                        calls.add(name.value)
    assert calls <= {*OPENSMTPDS, *OWN}
    assert len(calls) > 30

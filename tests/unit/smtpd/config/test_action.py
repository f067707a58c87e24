import pytest

from smtpd.config.model import GETPWNAM, LocalAction, RelayAction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mbox", {"method": "mbox"}),
        ("maildir", {"method": "maildir"}),
        ("maildir junk", {"method": "maildir", "junk": True}),
        ('maildir "~/x"', {"method": "maildir", "argument": "~/x"}),
        ('maildir "~/x" junk', {"method": "maildir", "argument": "~/x", "junk": True}),
        ('lmtp "/s"', {"method": "lmtp", "argument": "/s"}),
        ("lmtp h:24 rcpt-to", {"method": "lmtp", "argument": "h:24", "rcpt_to": True}),
        ('mda "a b"', {"method": "mda", "argument": "a b"}),
        ("forward-only", {"method": "forward-only"}),
        ("expand-only", {"method": "expand-only"}),
        ("mbox alias { a = b }", {"method": "mbox", "alias": "<dynamic:0>"}),
        ("mbox virtual { a = b }", {"method": "mbox", "virtual": "<dynamic:0>"}),
        ("mbox userbase { a = b }", {"method": "mbox", "userbase": "<dynamic:0>"}),
        ("maildir user u wrapper w", {"method": "maildir", "user": "u", "wrapper": "w"}),
        ("mbox ttl 2m", {"method": "mbox", "ttl": 120}),
    ],
)
def test_local(parse, text: str, expected: dict[str, object]) -> None:
    config = parse(f"mda wrapper w x\naction a {text}")
    assert config.actions["a"] == LocalAction(**{"name": "a", "userbase": GETPWNAM} | expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("helo h", {"helo": "h"}),
        ("helo-src { a = b }", {"helo_src": "<dynamic:0>"}),
        ("src 127.0.0.1", {"src": "<dynamic:0>"}),
        ("mail-from x", {"mail_from": "x"}),
        ("host smtp://h", {"host": "<dynamic:0>"}),
        ("domain { d = h }", {"host": "<dynamic:0>", "host_is_domain": True}),
        ("backup", {"backup": True}),
        ("backup mx m", {"backup": True, "backup_mx": "m"}),
        ("tls", {"tls": True, "tls_verify": True}),
        ("tls no-verify", {"tls": True}),
        ("ciphers HIGH protocols all", {"tls_ciphers": "HIGH", "tls_protocols": "all"}),
        ("pki p ca c", {"pki": "p", "ca": "c"}),
        ("host h auth { a = b }", {"host": "<dynamic:0>", "auth": "<dynamic:1>"}),
        ("srs ttl 1d", {"srs": True, "ttl": 86400}),
        ("filter f", {"filter": "f"}),
    ],
)
def test_relay(parse, text: str, expected: dict[str, object]) -> None:
    before = 'srs key x\npki p cert "/c"\nca c cert "/c"\nfilter f proc-exec x\n'
    assert parse(f"{before}action a relay {text}").actions["a"] == RelayAction(**{"name": "a"} | expected)


def test_the_host_table_numbering_is_that_of_use(parse) -> None:
    config = parse("action a relay src s host h\naction b relay host i")
    assert {
        name: config.tables[name].entries[0][0] for name in ("<dynamic:0>", "<dynamic:1>", "<dynamic:2>")
    } == {
        "<dynamic:0>": "s",
        "<dynamic:1>": "h",
        "<dynamic:2>": "i",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mbox user u", "user may not be specified for this dispatcher"),
        ("forward-only user u", "user may not be specified for forward-only"),
        ("maildir user u user u", "user already specified for this dispatcher"),
        ("mbox alias { a = b } virtual { a = b }", "alias mapping already specified for this dispatcher"),
        ("mbox virtual { a = b } alias { a = b }", "virtual mapping already specified for this dispatcher"),
        ("mbox alias { a }", 'table "<dynamic:0>" may not be used for alias lookups'),
        ("mbox wrapper w", "no mda wrapper with that name: w"),
        ("mbox ttl 1", 'syntax error at "1", where a delay belongs'),
        ("mbox ttl 1h ttl 1h", "ttl already specified for this dispatcher"),
        ("mbox ttl 1h alias { a = b }", 'syntax error at "alias"'),
        ("relay host a host b", "host mapping already specified for this dispatcher"),
        ("relay backup host b", "backup and host are mutually exclusive"),
        ("relay backup domain { a = b }", "backup and domain are mutually exclusive"),
        ("relay host a backup", "backup and host are mutually exclusive"),
        ("relay backup backup mx x", "backup already specified for this dispatcher"),
        ("relay tls tls", "tls already specified for this dispatcher"),
        ("relay auth { a = b }", "auth may not be specified without host on a dispatcher"),
        ("relay srs", "an srs key is required for srs to be specified in an action"),
        ("relay helo a helo b", "helo already specified for this dispatcher"),
        ("relay pki p", "pki name not found: p"),
        ("relay ca p", "ca name not found: p"),
        ("relay protocols x", 'failed to parse protocols "x"'),
        ("relay ciphers x", 'no ciphers for "x"'),
        ("maildr", 'syntax error at "maildr"'),
    ],
)
def test_refused(refused, text: str, message: str) -> None:
    assert refused(f"action a {text}")[0].message == message


def test_twice(refused) -> None:
    errors = refused("action a mbox\naction a maildir\nmatch for any action a")
    assert [error.message for error in errors] == ["dispatcher already declared with that name: a"]

import pytest

from smtpd.config.model import ListenAddress, Listener

PKI = 'pki a cert "/c" key "/k"\nca root cert "/c"\n'


def listener(parse, text: str) -> Listener:
    return parse(PKI + text).listeners[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lo", {}),
        ("lo inet4", {"family": "inet4"}),
        ("lo port 2525", {"port": 2525}),
        ("lo port smtp", {"port": 25}),
        ("lo port smtps", {"port": 465}),
        ("lo port submission", {"port": 587}),
        ("lo tls pki a", {"starttls": True, "pkis": ("a",)}),
        ("lo tls-require pki a", {"starttls": True, "tls_require": True, "pkis": ("a",)}),
        (
            "lo tls-require verify pki a",
            {"starttls": True, "tls_require": True, "tls_verify": True, "pkis": ("a",)},
        ),
        ("lo smtps pki a", {"smtps": True, "port": 465, "pkis": ("a",)}),
        ("lo smtps verify pki a port 1", {"smtps": True, "tls_verify": True, "port": 1, "pkis": ("a",)}),
        ("lo tls pki a ca Root", {"starttls": True, "pkis": ("a",), "ca": "root"}),
        ("lo tls pki a auth", {"starttls": True, "pkis": ("a",), "auth": True, "auth_require": True}),
        ("lo tls pki a auth-optional", {"starttls": True, "pkis": ("a",), "auth": True}),
        (
            "lo tls pki a auth { u = p }",
            {
                "starttls": True,
                "pkis": ("a",),
                "auth": True,
                "auth_require": True,
                "auth_table": "<dynamic:0>",
            },
        ),
        ("lo ciphers HIGH protocols secure", {"tls_ciphers": "HIGH", "tls_protocols": "secure"}),
        ("lo tag T hostname h.example", {"tag": "T", "hostname": "h.example"}),
        ("lo hostnames { a = b }", {"hostname_table": "<dynamic:0>"}),
        ("lo senders { a = b }", {"sender_table": "<dynamic:0>"}),
        ("lo senders { a = b } masquerade", {"sender_table": "<dynamic:0>", "masquerade": True}),
        (
            "lo mask-src received-auth no-dsn proxy-v2",
            {"mask_src": True, "received_auth": True, "no_dsn": True, "proxy_v2": True},
        ),
    ],
)
def test_options(parse, text: str, expected: dict[str, object]) -> None:
    assert listener(parse, f"listen on {text}") == Listener(
        **{"on": "lo", "hostname": "mail.example.org"} | expected
    )


def test_addresses(parse) -> None:
    assert listener(parse, "listen on lo port 2525").addresses == (
        ListenAddress("inet4", "127.0.0.1", 2525, True),
        ListenAddress("inet6", "::1", 2525, True),
    )


def test_nothing_to_listen_on_is_no_fault(parse) -> None:
    assert listener(parse, "listen on 127.0.0.1 inet6").addresses == ()


def test_socket(parse) -> None:
    assert parse("").socket_listener == Listener(
        on="socket", socket=True, port=0, hostname="mail.example.org"
    )
    made = parse("listen on socket tag L mask-src no-dsn").socket_listener
    assert (made.tag, made.mask_src, made.no_dsn) == ("L", True, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lo port 0", "invalid port: 0"),
        ("lo port 65536", "invalid port: 65536"),
        ("lo port gopher", "invalid port: gopher"),
        ("lo auth", "invalid listen option: auth requires tls/smtps"),
        ("lo tls", "invalid listen option: pki required for tls/smtps"),
        ("lo pki a", "invalid listen option: pki requires tls/smtps"),
        ("lo tls pki b", "pki name not found: b"),
        ("lo tls pki a ca b", "ca name not found: b"),
        ("lo tls pki a smtps", "TLS mode already specified"),
        ("lo tls verify pki a", 'syntax error at "verify"'),
        ("nope", "invalid virtual ip or interface: nope"),
        ("lo tag " + "x" * 33, "tag name too long"),
        ("lo " + "pki a " * 33, "too many pki specified"),
        ("lo protocols ssl", 'failed to parse protocols "ssl"'),
        ("socket port 25", 'syntax error at "port"'),
    ],
)
def test_refused(refused, text: str, message: str) -> None:
    assert refused(f"{PKI}listen on {text}")[0].message == message


ONCE = {
    "inet4": "address family",
    "port 1": "port",
    "ciphers HIGH": "ciphers",
    "protocols all": "protocols",
    "ca root": "ca",
    "auth": "auth",
    "tag x": "tag",
    "hostname x": "hostname",
    "hostnames { a = b }": "hostnames",
    "senders { a = b }": "senders",
    "mask-src": "mask-source",
    "received-auth": "received-auth",
    "no-dsn": "no-dsn",
    "proxy-v2": "proxy-v2",
}


@pytest.mark.parametrize("option", ONCE)
def test_options_given_twice(refused, option: str) -> None:
    assert refused(f"{PKI}listen on lo {option} {option}")[0].message == f"{ONCE[option]} already specified"


def test_hints(refused) -> None:
    assert 'did you mean "lo"?' in refused("listen on lo0")[0].hint
    assert 'write "a"' in refused(f"{PKI}listen on lo tls pki A")[0].hint

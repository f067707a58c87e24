"""The `listen on` statement.

Productions listen, socket_listener, if_listener and their options, and the checks OpenSMTPD makes when a
listener is created (create_if_listener). Must not open a socket.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from smtpd.config.addresses import listen_addresses
from smtpd.config.draft import lowercase
from smtpd.config.errors import did_you_mean
from smtpd.config.filters import use_filter
from smtpd.config.lexer import NEWLINE, NUMBER, STRING, Token
from smtpd.config.machine import NoSuchName
from smtpd.config.model import Listener
from smtpd.config.parser import Parser
from smtpd.config.settings import check_ciphers, check_protocols
from smtpd.config.table import DYNAMIC, HASH, check_use, tables

TAG_MAX = 32
"""Longest tag in bytes."""
PKI_MAX = 32
"""Most pki entries of a listener."""


class _Options:
    """The options read so far, and which of them must not come again."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.seen: set[str] = set()
        self.pkis: list[Token] = []
        self.ca: Token | None = None

    def once(self, p: Parser, option: str, message: str) -> None:
        """Fault when the option (or one that excludes it) was given before."""
        if option in self.seen:
            raise p.fail(f"{message} already specified")
        self.seen.add(option)


def listen(p: Parser) -> None:
    """`listen on INTERFACE [OPTIONS]` or `listen on socket [OPTIONS]`."""
    p.take()
    p.expect("on")
    options = _Options()
    if p.accept("socket"):
        _read(p, options, _SOCKET_OPTIONS)
        if p.draft.socket_listener is not None:
            raise p.fail("socket listener already configured", p.first)
        p.draft.socket_listener = Listener(
            on="socket", socket=True, hostname=p.draft.hostname, place=p.place(), port=0, **options.values
        )
        return
    on = p.string("an interface, an address or a host name")
    _read(p, options, _OPTIONS)
    if not p.at(NEWLINE):
        raise p.syntax_error()
    p.draft.listeners.append(_listener(p, on, options))


def _read(p: Parser, options: _Options, known: "dict[str, _Option]") -> None:
    while kind := p.at(*known):
        p.take()
        known[kind](p, options)


def _listener(p: Parser, on: Token, options: _Options) -> Listener:
    """The listener, when its options go together and its name means something here."""
    made = Listener(
        on=on.value,
        hostname=options.values.pop("hostname", p.draft.hostname),
        pkis=tuple(token.value for token in options.pkis),
        ca=lowercase(options.ca.value) if options.ca is not None else "",
        port=options.values.pop("port", 0) or (465 if options.values.get("smtps") else 25),
        place=p.place(),
        **options.values,
    )
    encrypted = made.smtps or made.starttls
    if made.auth and not encrypted:
        raise p.fail("invalid listen option: auth requires tls/smtps", on)
    if made.pkis and not encrypted:
        raise p.fail("invalid listen option: pki requires tls/smtps", options.pkis[0])
    if encrypted and not made.pkis:
        raise p.fail("invalid listen option: pki required for tls/smtps", on)
    # OpenSMTPD looks a listener's pki up as it is written, though entries are in lower case.
    for token in options.pkis:
        if token.value not in p.draft.pkis:
            lower = lowercase(token.value)
            if lower in p.draft.pkis:
                hint = f'entries have lower-case names: write "{lower}"'
                raise p.fail(f"pki name not found: {token.value}", token, hint)
            raise p.missing("pki", token, f"pki name not found: {token.value}", p.draft.pkis)
    if options.ca is not None and made.ca not in p.draft.cas:
        raise p.missing("ca", options.ca, f"ca name not found: {options.ca.value}", p.draft.cas)
    try:
        addresses = listen_addresses(p.machine, made)
    except NoSuchName as error:
        if not error.fatal:
            p.warn(f'nothing to listen on: "{on.value}": {error}', on)
            return made
        hint = did_you_mean(on.value, {item.interface for item in p.machine.interface_addresses()})
        if on.value.startswith("lo") and not hint:
            hint = 'did you mean "lo"?'
        raise p.fail(f"invalid virtual ip or interface: {on.value}", on, hint or str(error)) from None
    return replace(made, addresses=addresses)


def _family(name: str) -> "_Option":
    def read(p: Parser, options: _Options) -> None:
        options.once(p, "family", "address family")
        options.values["family"] = name

    return read


def _port(p: Parser, options: _Options) -> None:
    kind = p.at("smtp", "smtps", STRING, NUMBER)
    if not kind:
        raise p.syntax_error("a port's number or name")
    token = p.take()
    options.once(p, "port", "port")
    if kind == NUMBER:
        if not 0 < token.number <= 65535:
            raise p.fail(f"invalid port: {token.number}", token, "ports are 1 to 65535")
        options.values["port"] = token.number
        return
    port = p.machine.port(token.value)
    if port is None:
        raise p.fail(f"invalid port: {token.value}", token, "no such service in services(5)")
    options.values["port"] = port


def _filter(p: Parser, options: _Options) -> None:
    options.values["filter"] = use_filter(
        p, lambda: options.once(p, "filter", "filter"), smtp_in=True, smtp_out=False
    )


def _tls(*names: str) -> "_Option":
    def read(p: Parser, options: _Options) -> None:
        verify = names[0] != "starttls" or len(names) > 1
        verified = verify and p.accept("verify") is not None
        options.once(p, "tls", "TLS mode")
        for name in names:
            options.values[name] = True
        options.values["tls_verify"] = verified

    return read


def _word(
    name: str, message: str, what: str, check: Callable[[Parser, Token], None] | None = None
) -> "_Option":
    def read(p: Parser, options: _Options) -> None:
        token = p.string(what)
        options.once(p, name, message)
        options.values[name] = token.value
        if check is not None:
            check(p, token)

    return read


def _flag(name: str, message: str) -> "_Option":
    def read(p: Parser, options: _Options) -> None:
        options.once(p, name, message)
        options.values[name] = True

    return read


def _pki(p: Parser, options: _Options) -> None:
    token = p.string("a pki entry's name")
    if len(options.pkis) == PKI_MAX:
        raise p.fail("too many pki specified", token)
    options.pkis.append(token)


def _ca(p: Parser, options: _Options) -> None:
    token = p.string("a ca entry's name")
    options.once(p, "ca", "ca")
    options.ca = token


def _auth(required: bool) -> "_Option":
    def read(p: Parser, options: _Options) -> None:
        table = tables(p, "credentials") if p.at(STRING, "{", "<") else None
        options.once(p, "auth", "auth")
        options.values["auth"] = True
        options.values["auth_require"] = required
        if table is not None:
            options.values["auth_table"] = table.name

    return read


def _tag(p: Parser, options: _Options) -> None:
    token = p.string("a tag")
    options.once(p, "tag", "tag")
    if len(token.value.encode("utf-8", "surrogateescape")) > TAG_MAX:
        raise p.fail("tag name too long", token, f"a tag has at most {TAG_MAX} bytes")
    options.values["tag"] = token.value


def _hostnames(p: Parser, options: _Options) -> None:
    table = tables(p, "a mapping of addresses to names")
    options.once(p, "hostnames", "hostnames")
    check_use(p, table, "invalid use of table {} as HOSTNAMES parameter", (DYNAMIC, HASH), "addrname")
    options.values["hostname_table"] = table.name


def _senders(p: Parser, options: _Options) -> None:
    table = tables(p, "a mapping of users to addresses")
    masquerade = p.accept("masquerade") is not None
    options.once(p, "senders", "senders")
    check_use(p, table, "invalid use of table {} as SENDERS parameter", (DYNAMIC, HASH), "mailaddrmap")
    options.values["sender_table"] = table.name
    options.values["masquerade"] = masquerade


_Option = Callable[[Parser, _Options], None]

_SOCKET_OPTIONS: dict[str, _Option] = {
    "filter": _filter,
    "mask-src": _flag("mask_src", "mask-source"),
    "no-dsn": _flag("no_dsn", "no-dsn"),
    "tag": _tag,
}
_OPTIONS: dict[str, _Option] = _SOCKET_OPTIONS | {
    "inet4": _family("inet4"),
    "inet6": _family("inet6"),
    "port": _port,
    "smtps": _tls("smtps"),
    "tls": _tls("starttls"),
    "tls-require": _tls("starttls", "tls_require"),
    "ciphers": _word("tls_ciphers", "ciphers", "the ciphers", check_ciphers),
    "protocols": _word("tls_protocols", "protocols", "the protocols", check_protocols),
    "pki": _pki,
    "ca": _ca,
    "auth": _auth(True),
    "auth-optional": _auth(False),
    "hostname": _word("hostname", "hostname", "a host name"),
    "hostnames": _hostnames,
    "received-auth": _flag("received_auth", "received-auth"),
    "proxy-v2": _flag("proxy_v2", "proxy-v2"),
    "senders": _senders,
}

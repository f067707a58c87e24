"""The `action` statement.

Productions dispatcher, dispatcher_local, dispatcher_remote and their options. Must not know how mail is
delivered.
"""

from collections.abc import Mapping
from typing import Any

from smtpd.config.filters import use_filter
from smtpd.config.lexer import STRING, Token
from smtpd.config.model import LocalAction, RelayAction
from smtpd.config.parser import Parser
from smtpd.config.settings import check_ciphers, check_protocols, ttl
from smtpd.config.table import DYNAMIC, HASH, LIST, check_use, tables

METHODS = ("mbox", "maildir", "lmtp", "mda", "forward-only", "expand-only", "relay")


def action(p: Parser) -> None:
    """`action NAME METHOD [OPTIONS] [ttl DELAY]`."""
    p.take()
    name = p.string("the action's name")
    known = name.value in p.draft.actions
    if not known:
        p.declares(("action", name.value))
    if known:
        raise p.fail(f"dispatcher already declared with that name: {name.value}", name)
    method = p.at(*METHODS)
    if not method:
        raise p.syntax_error()
    p.take()
    values: dict[str, Any] = {"name": name.value, "place": p.place()}
    if method == "relay":
        _relay_options(p, values)
    else:
        values["method"] = method
        _method(p, method, values)
        _local_options(p, method, values)
    seen = False
    while p.accept("ttl"):
        if seen:
            p.string("a delay")
            raise p.fail("ttl already specified for this dispatcher")
        values["ttl"] = ttl(p)
        seen = True
    made = RelayAction(**values) if method == "relay" else LocalAction(**values)
    p.draft.actions[name.value] = made
    p.declared(("action", name.value))


def _method(p: Parser, method: str, values: dict[str, Any]) -> None:
    if method == "maildir":
        if p.at(STRING):
            values["argument"] = p.take().value
        values["junk"] = p.accept("junk") is not None
    elif method == "lmtp":
        values["argument"] = p.string("the LMTP server's host:port or socket").value
        values["rcpt_to"] = p.accept("rcpt-to") is not None
    elif method == "mda":
        values["argument"] = p.string("a command").value


def _local_options(p: Parser, method: str, values: dict[str, Any]) -> None:
    while option := p.at("user", "alias", "virtual", "userbase", "wrapper"):
        p.take()
        if option == "user":
            user = p.string("a user's name")
            if method == "mbox":
                raise p.fail("user may not be specified for this dispatcher")
            if method in ("forward-only", "expand-only"):
                raise p.fail(f"user may not be specified for {method}")
            if "user" in values:
                raise p.fail("user already specified for this dispatcher")
            values["user"] = user.value
        elif option == "wrapper":
            wrapper = p.string("a wrapper's name")
            if wrapper.value not in p.draft.mda_wrappers:
                message = f"no mda wrapper with that name: {wrapper.value}"
                raise p.missing("wrapper", wrapper, message, p.draft.mda_wrappers)
            values["wrapper"] = wrapper.value
        else:
            table = tables(p, f"a mapping for {option}")
            excluding = {"alias": ("alias", "virtual"), "virtual": ("virtual", "alias")}
            for other in excluding.get(option, (option,)):
                if other in values:
                    raise p.fail(f"{other} mapping already specified for this dispatcher")
            service = "userinfo" if option == "userbase" else "alias"
            check_use(p, table, f"table {{}} may not be used for {option} lookups", (DYNAMIC, HASH), service)
            values[option] = table.name


# Options that are one word: the name of the value and what the word means.
_WORDS = {
    "helo": ("helo", "a host name"),
    "pki": ("pki", "a pki entry's name"),
    "ca": ("ca", "a ca entry's name"),
    "ciphers": ("tls_ciphers", "the ciphers"),
    "protocols": ("tls_protocols", "the protocols"),
    "mail-from": ("mail_from", "an address"),
}

# Options that are a table: the name of the value, how messages call it, its kinds and service, what it means.
_TABLES = {
    "helo-src": ("helo_src", "helo-source", (DYNAMIC, HASH), "addrname", "a mapping of addresses to names"),
    "src": ("src", "source", (DYNAMIC, LIST, HASH), "source", "a source address"),
    "host": ("host", "host", (DYNAMIC, LIST), "relayhost", "a relay URL"),
    "domain": ("host", "host", (DYNAMIC, HASH), "relayhost", "a mapping of domains to relay URLs"),
    "auth": ("auth", "auth", (DYNAMIC, HASH), "credentials", "a mapping of labels to credentials"),
}


def _relay_options(p: Parser, values: dict[str, Any]) -> None:
    while option := p.at(*_WORDS, *_TABLES, "backup", "tls", "filter", "srs"):
        p.take()
        if option in _WORDS:
            field, what = _WORDS[option]
            word = p.string(what)
            if field in values:
                raise p.fail(f"{option} already specified for this dispatcher")
            values[field] = word.value
            _check_later(p, option, word)
        elif option in _TABLES:
            _table_option(p, option, values)
        elif option == "backup":
            _backup(p, values)
        elif option == "tls":
            verify = p.accept("no-verify") is None
            if "tls" in values:
                raise p.fail("tls already specified for this dispatcher")
            values["tls"] = True
            values["tls_verify"] = verify
        elif option == "filter":
            values["filter"] = use_filter(p, lambda: _once_filter(p, values), smtp_in=False, smtp_out=True)
        else:
            if not p.draft.srs_key_given:
                hint = 'a statement "srs key SECRET" must stand before the action'
                raise p.fail("an srs key is required for srs to be specified in an action", None, hint)
            if "srs" in values:
                raise p.fail("srs already specified for this dispatcher")
            values["srs"] = True


def _check_later(p: Parser, option: str, word: Token) -> None:
    """What OpenSMTPD finds wrong with a word when it starts."""
    if option in ("pki", "ca"):
        declared: Mapping[str, object] = p.draft.pkis if option == "pki" else p.draft.cas
        key, message = (option, word.value), f"{option} name not found: {word.value}"
        p.check_later(lambda: word.value in declared or key in p.draft.broken, message, word)
    elif option == "ciphers":
        check_ciphers(p, word)
    elif option == "protocols":
        check_protocols(p, word)


def _once_filter(p: Parser, values: dict[str, Any]) -> None:
    if "filter" in values:
        raise p.fail("filter already specified for this dispatcher")


def _table_option(p: Parser, option: str, values: dict[str, Any]) -> None:
    field, called, kinds, service, what = _TABLES[option]
    table = tables(p, what)
    if option == "auth" and "host" not in values:
        raise p.fail(
            "auth may not be specified without host on a dispatcher", None, '"host" must stand first'
        )
    if field in values:
        raise p.fail(f"{called} mapping already specified for this dispatcher")
    if field == "host" and "backup" in values:
        raise p.fail(f"backup and {option} are mutually exclusive")
    check_use(p, table, f"table {{}} may not be used for {called} lookups", kinds, service)
    values[field] = table.name
    if option == "domain":
        values["host_is_domain"] = True


def _backup(p: Parser, values: dict[str, Any]) -> None:
    mx = p.string("an exchanger's name") if p.accept("mx") else None
    if "backup" in values:
        raise p.fail("backup already specified for this dispatcher")
    if "host" in values:
        raise p.fail("backup and host are mutually exclusive")
    values["backup"] = True
    if mx is not None:
        values["backup_mx"] = mx.value

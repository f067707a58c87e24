"""The statements that set values: admd, bounce, ca, mda, mta, pki, proc, queue, scheduler, smtp, srs.

Must not hold listeners, actions, rules, filters or tables.
"""

import string
from dataclasses import replace
from typing import Any

from smtpd.config import timespan
from smtpd.config.checks import ciphers_fault, protocols_fault, queue_key_fault
from smtpd.config.draft import lowercase
from smtpd.config.errors import did_you_mean
from smtpd.config.lexer import NUMBER, STRING, Token
from smtpd.config.model import DEFAULT_LIMITS, Ca, Pki, Processor
from smtpd.config.names import domain_name
from smtpd.config.parser import Parser

MAX_BOUNCE_WARN = 4

_PRINTABLE = frozenset(string.digits + string.ascii_letters + string.punctuation + " ")

SIZE_KEYS_MTA = {
    "max-conn-per-host": "maxconn_per_host",
    "max-conn-per-route": "maxconn_per_route",
    "max-conn-per-source": "maxconn_per_source",
    "max-conn-per-connector": "maxconn_per_connector",
    "max-conn-per-relay": "maxconn_per_relay",
    "max-conn-per-domain": "maxconn_per_domain",
    "session-mail-max": "max_mail_per_session",
    "max-failures-per-session": "max_failures_per_session",
    "task-hiwat": "task_hiwat",
    "task-lowat": "task_lowat",
    "task-release": "task_release",
}
TIME_KEYS_MTA = {
    "conn-delay-host": "conndelay_host",
    "conn-delay-route": "conndelay_route",
    "conn-delay-source": "conndelay_source",
    "conn-delay-connector": "conndelay_connector",
    "conn-delay-relay": "conndelay_relay",
    "conn-delay-domain": "conndelay_domain",
    "reconn-delay-route": "discdelay_route",
    "session-transaction-delay": "sessdelay_transaction",
    "session-keepalive": "sessdelay_keepalive",
}
KEYS_MTA = SIZE_KEYS_MTA | TIME_KEYS_MTA
KEYS_MDA = {
    "max-session": "max_session",
    "max-session-per-user": "max_user_session",
    "task-lowat": "task_lowat",
    "task-hiwat": "task_hiwat",
    "task-release": "task_release",
}
KEYS_SCHEDULER = {
    "max-inflight": "max_inflight",
    "max-evp-batch-size": "max_evp_batch_size",
    "max-msg-batch-size": "max_msg_batch_size",
    "max-schedule": "max_schedule",
}
KEYS_SMTP = {"max-rcpt": "max_rcpt", "max-mails": "max_mails"}


def admd(p: Parser) -> None:
    """`admd AUTHSERVID`."""
    p.take()
    name = p.string("the authservid")
    if not _PRINTABLE.issuperset(name.value):
        raise p.fail("not a valid admd", name)
    p.draft.admd = name.value


def bounce(p: Parser) -> None:
    """`bounce warn-interval DELAY, ...`; OpenSMTPD takes no notice of a fifth one and more."""
    p.take()
    p.expect("warn-interval")
    delays: list[int] = []
    while True:
        token = p.string("a delay")
        delay = timespan.seconds(token.value)
        if delay is None:
            raise p.fail(f"invalid bounce delay: {token.value}", token, _timespan_hint(token.value))
        if len(delays) == MAX_BOUNCE_WARN:
            p.warn(f"only {MAX_BOUNCE_WARN} bounce delays count, ignored: {token.value}", token)
        else:
            delays.append(delay)
        if not p.accept(","):
            break
    p.draft.bounce_warn = tuple(delays)


def ca(p: Parser) -> None:
    """`ca NAME cert FILE`."""
    p.take()
    token, name = _pki_name(p, "ca")
    old = p.draft.cas.get(name, Ca(name=name, place=p.place()))
    p.draft.cas[name] = old
    p.expect("cert")
    p.draft.cas[name] = replace(old, cert_file=p.string("the certificate file").value)
    p.declared(("ca", token.value), ("ca", name))


def pki(p: Parser) -> None:
    """`pki NAME [cert FILE] [key FILE] [dhe PARAMS] ...`."""
    p.take()
    token, name = _pki_name(p, "pki")
    entry = p.draft.pkis.get(name, Pki(name=name, place=p.place()))
    p.draft.pkis[name] = entry
    while kind := p.at("cert", "key", "dhe"):
        p.take()
        if kind == "cert":
            entry = replace(entry, cert_file=p.string("the certificate file").value)
        elif kind == "key":
            entry = replace(entry, key_file=p.string("the key file").value)
        else:
            params = p.string('"none", "auto" or "legacy"')
            if lowercase(params.value) not in ("none", "auto", "legacy"):
                hint = did_you_mean(params.value, ("none", "auto", "legacy"))
                raise p.fail(f"invalid DHE keyword: {params.value}", params, hint or "none, auto or legacy")
            entry = replace(entry, dhe=lowercase(params.value))
        p.draft.pkis[name] = entry
    p.declared(("pki", token.value), ("pki", name))


def _pki_name(p: Parser, kind: str) -> tuple[Token, str]:
    token = p.string(f"the {kind} entry's name")
    p.declares((kind, token.value), (kind, lowercase(token.value)))
    if token.value != "*" and not domain_name(token.value):
        raise p.fail(f"not a valid domain name: {token.value}", token)
    return token, lowercase(token.value)


def mda(p: Parser) -> None:
    """`mda limit KEY NUMBER ...` or `mda wrapper NAME COMMAND`."""
    p.take()
    if p.accept("limit"):
        p.draft.mda = replace(p.draft.mda, **_limits(p, KEYS_MDA, "mda"))
        return
    p.expect("wrapper")
    name = p.string("the wrapper's name")
    p.declares(("wrapper", name.value))
    command = p.string("the wrapper's command")
    if name.value in p.draft.mda_wrappers:
        raise p.fail(f"mda wrapper already declared with that name: {name.value}", name)
    p.draft.mda_wrappers[name.value] = command.value
    p.declared(("wrapper", name.value))


def mta(p: Parser) -> None:
    """`mta max-deferred NUMBER` or `mta limit [for domain NAME] [inet4] [inet6] [KEY NUMBER] ...`."""
    p.take()
    if p.accept("max-deferred"):
        p.draft.mta_max_deferred = _size(p.number("the number of envelopes").number)
        return
    p.expect("limit")
    domain = DEFAULT_LIMITS
    if p.accept("for"):
        p.expect("domain")
        domain = p.string("a domain").value
    limits = p.draft.mta_limits.get(domain, p.draft.mta_limits[DEFAULT_LIMITS])
    p.draft.mta_limits[domain] = limits
    while kind := p.at("inet4", "inet6", STRING):
        if kind == STRING:
            field, number = _limit(p, KEYS_MTA, "mta")
            sized = field in SIZE_KEYS_MTA.values()
            change: dict[str, Any] = {field: _size(number) if sized else number}
            limits = replace(limits, **change)
        else:
            p.take()
            limits = replace(limits, family=kind)
        p.draft.mta_limits[domain] = limits


def scheduler(p: Parser) -> None:
    """`scheduler limit KEY NUMBER ...`."""
    p.take()
    p.expect("limit")
    p.draft.scheduler = replace(p.draft.scheduler, **_limits(p, KEYS_SCHEDULER, "scheduler"))


def _limits(p: Parser, keys: dict[str, str], name: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    while p.at(STRING):
        field, number = _limit(p, keys, name)
        values[field] = _size(number)
    return values


def _limit(p: Parser, keys: dict[str, str], name: str) -> tuple[str, int]:
    key = p.take()
    number = p.number("a number").number
    if key.value not in keys:
        hint = did_you_mean(key.value, keys) or f"known are {', '.join(sorted(keys))}"
        raise p.fail(f"invalid {name} limit keyword: {key.value}", key, hint)
    return keys[key.value], number


def _size(number: int) -> int:
    # OpenSMTPD stores it as an unsigned number: a negative one is a very large one.
    return number if number >= 0 else timespan.LLONG_MAX


def proc(p: Parser) -> None:
    """`proc NAME COMMAND [user USER] [group GROUP] [chroot PATH]`."""
    p.take()
    name = p.string("the process's name")
    p.declares(("proc", name.value))
    command = p.string("the process's command")
    if name.value in p.draft.processors:
        raise p.fail(f"processor already exists with that name: {name.value}", name)
    p.draft.processors[name.value] = processor(p, name.value, command.value)
    p.declared(("proc", name.value))


def processor(p: Parser, name: str, command: str) -> Processor:
    """The options of a process, after its command."""
    values: dict[str, str] = {}
    while kind := p.at("user", "group", "chroot"):
        p.take()
        value = p.string(f"the process's {kind}")
        if values.get(kind) is not None:
            raise p.fail(f"{kind} already specified for this processor", value)
        values[kind] = value.value
    return Processor(name=name, command=command, place=p.place(), **values)


def queue(p: Parser) -> None:
    """`queue compression`, `queue encryption [KEY]` or `queue ttl DELAY`."""
    p.take()
    if p.accept("compression"):
        p.draft.queue = replace(p.draft.queue, compression=True)
    elif p.accept("encryption"):
        p.draft.queue = replace(p.draft.queue, encryption=True)
        if p.at(STRING):
            token = p.take()
            key = "stdin" if lowercase(token.value) in ("stdin", "-") else token.value
            p.draft.queue = replace(p.draft.queue, key=key)
            fault = queue_key_fault(key)
            if fault:
                p.check_later(lambda: p.draft.queue.key != key, fault, token)
    else:
        p.expect("ttl")
        p.draft.queue = replace(p.draft.queue, ttl=_delay(p, "invalid ttl delay: {}"))


def smtp(p: Parser) -> None:
    """`smtp limit KEY NUMBER ...`, `smtp ciphers C`, `smtp max-message-size S` or `smtp sub-addr-delim D`."""
    p.take()
    if p.accept("limit"):
        p.draft.smtp = replace(p.draft.smtp, **_limits(p, KEYS_SMTP, "session"))
    elif p.accept("ciphers"):
        token = p.string("the ciphers")
        check_ciphers(p, token)
        p.draft.smtp = replace(p.draft.smtp, ciphers=token.value)
    elif p.accept("max-message-size"):
        p.draft.smtp = replace(p.draft.smtp, max_message_size=_message_size(p))
    else:
        p.expect("sub-addr-delim")
        token = p.string("one character")
        if len(token.value.encode("utf-8", "surrogateescape")) != 1:
            raise p.fail("subaddressing-delimiter must be one character", token)
        if token.value not in _PRINTABLE or token.value in " @":
            raise p.fail("sub-addr-delim uses invalid character", token)
        p.draft.smtp = replace(p.draft.smtp, sub_addr_delim=token.value)


def check_ciphers(p: Parser, token: Token) -> None:
    """Note a fault when the TLS library knows no such ciphers."""
    fault = ciphers_fault(token.value)
    if fault:
        p.check_later(lambda: False, fault, token)


def check_protocols(p: Parser, token: Token) -> None:
    """Note a fault when the words stand for no version of TLS."""
    fault, hint = protocols_fault(token.value)
    if fault:
        p.check_later(lambda: False, fault, token, hint)


def _message_size(p: Parser) -> int:
    if p.at(NUMBER):
        token = p.take()
        size: int | None = token.number
    else:
        token = p.string("a size")
        size = timespan.scaled(token.value)
    if size is None or size < 0:
        raise p.fail(f"invalid size: {token.value}", token, "a number, and K, M, G or T at its end")
    return size


def srs(p: Parser) -> None:
    """`srs key [backup] SECRET` or `srs ttl DELAY`."""
    p.take()
    if p.accept("key"):
        if p.accept("backup"):
            p.draft.srs = replace(p.draft.srs, key_backup=p.string("the secret").value)
        else:
            p.draft.srs = replace(p.draft.srs, key=p.string("the secret").value)
            p.draft.srs_key_given = True
        return
    p.expect("ttl")
    token = p.peek()
    days = _delay(p, 'ttl delay "{}" is invalid') // timespan.UNITS["d"]
    if days == 0:
        raise p.fail(f'ttl delay "{token.value}" is too short', token, "SRS counts in days")
    p.draft.srs = replace(p.draft.srs, ttl_days=days)


def _delay(p: Parser, message: str) -> int:
    token = p.string("a delay")
    delay = timespan.seconds(token.value)
    if delay is None:
        raise p.fail(message.format(token.value), token, _timespan_hint(token.value))
    return delay


def ttl(p: Parser) -> int:
    """The delay after an action's `ttl`."""
    return _delay(p, 'ttl delay "{}" is invalid')


def _timespan_hint(text: str) -> str:
    if text[-1:] == "w":
        return "weeks are not known here: use days"
    return "a number of at least 1 and its unit: s, m, h or d"

"""The `match` statement.

Production match and every match_option. Must not evaluate a rule.
"""

from smtpd.config.errors import did_you_mean
from smtpd.config.lexer import STRING
from smtpd.config.model import ANYDESTINATION, ANYHOST, LOCALHOST, LOCALNAMES, Criterion, Rule
from smtpd.config.parser import Parser
from smtpd.config.table import DYNAMIC, HASH, LIST, check_use, tables

OPTIONS = ("tag", "helo", "tls", "auth", "mail-from", "rcpt-to", "from", "for")
FROM = ("socket", "local", "any", "src", "rdns", "auth", "mail-from")
FOR = ("local", "any", "domain", "rcpt-to")

SLOTS = ("tag", "from", "for", "helo", "auth", "tls", "mail-from", "rcpt-to")
"""The conditions a rule has, in the order in which they are evaluated."""

# For each word that takes a table: its kinds and services without "regex".
_USE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tag": ((DYNAMIC, LIST), ("string",)),
    "helo": ((DYNAMIC, LIST), ("domain",)),
    "auth": ((DYNAMIC, LIST, HASH), ("string", "credentials")),
    "from auth": ((DYNAMIC, LIST), ("string", "credentials")),
    "mail-from": ((DYNAMIC, LIST, HASH), ("mailaddr",)),
    "rcpt-to": ((DYNAMIC, LIST, HASH), ("mailaddr",)),
    "from src": ((DYNAMIC, LIST), ("netaddr",)),
    "from rdns": ((DYNAMIC, LIST), ("domain",)),
    "from mail-from": ((DYNAMIC, LIST, HASH), ("mailaddr",)),
    "for domain": ((DYNAMIC, LIST), ("domain",)),
    "for rcpt-to": ((DYNAMIC, LIST, HASH), ("mailaddr",)),
}

_WHAT = {
    "tag": "a tag",
    "helo": "a HELO name",
    "auth": "a user's name",
    "mail-from": "a sender",
    "rcpt-to": "a recipient",
    "src": "an address or a network",
    "rdns": "a host name",
    "domain": "a domain",
}


def match(p: Parser) -> None:
    """`match [!]OPTION ... action NAME` or `match [!]OPTION ... reject`."""
    p.take()
    slots: dict[str, Criterion] = {}
    while True:
        negated = p.accept("!") is not None
        option = p.at(*OPTIONS)
        if not option:
            if negated:
                raise p.syntax_error()
            break
        p.take()
        if option == "from":
            _from(p, negated, slots)
        elif option == "for":
            _for(p, negated, slots)
        elif option == "tls":
            _once(p, slots, option, option)
            slots["tls"] = Criterion("tls", negated)
        elif option == "auth" and not p.at("regex", STRING, "{", "<"):
            _once(p, slots, option, option)
            slots["auth"] = Criterion("auth", negated)
        else:
            table, regex = _tables(p, option, option, option, slots, f"{option} lookups")
            slots[option] = Criterion(option, negated, table, regex)
    action, reject = "", False
    if p.accept("reject"):
        reject = True
    else:
        p.expect("action")
        token = p.string("an action's name")
        if token.value not in p.draft.actions:
            raise p.missing("action", token, f"no such dispatcher: {token.value}", p.draft.actions)
        action = token.value
    slots.setdefault("from", Criterion("from-src", False, LOCALHOST))
    slots.setdefault("for", Criterion("for-domain", False, LOCALNAMES))
    criteria = tuple(slots[slot] for slot in SLOTS if slot in slots)
    p.draft.rules.append(Rule(criteria=criteria, action=action, reject=reject, place=p.place()))


def _once(p: Parser, slots: dict[str, Criterion], slot: str, called: str) -> None:
    if slot in slots:
        raise p.fail(f"{called} already specified for this rule")


def _replace(slots: dict[str, Criterion], made: Criterion) -> None:
    """Set a condition that may be there already: of the old one its table stays unless there is a new one,
    and "regex" stays, because OpenSMTPD sets only what the option names."""
    old = slots.get(made.what, made)
    slots[made.what] = made._replace(table=made.table or old.table, regex=made.regex or old.regex)


def _tables(
    p: Parser, word: str, use: str, slot: str, slots: dict[str, Criterion], lookups: str
) -> tuple[str, bool]:
    """`[regex] TABLE` after a word, the slot still being free: the table's name and whether it is of regular
    expressions."""
    regex = p.accept("regex") is not None
    table = tables(p, _WHAT[word])
    _once(p, slots, slot, slot)
    kinds, services = _USE[use]
    if regex and use != "from rdns":
        # OpenSMTPD checks `from rdns regex` as it does `from rdns`.
        kinds, services = (DYNAMIC, LIST), ("regex",)
    check_use(p, table, f"table {{}} may not be used for {lookups}", kinds, *services)
    return table.name, regex


def _from(p: Parser, negated: bool, slots: dict[str, Criterion]) -> None:
    what = p.at(*FROM)
    if not what:
        token = p.peek()
        hint = did_you_mean(token.value, FROM)
        if token.kind in (STRING, "<", "{"):
            hint = hint or 'an address or a table goes after "from src"'
            raise p.fail(f'syntax error at "{token.value}"', token, hint)
        raise p.syntax_error()
    p.take()
    if what in ("socket", "local", "any"):
        _once(p, slots, "from", "from")
        slots["from"] = {
            "socket": Criterion("from-socket", negated),
            "local": Criterion("from-src", negated, LOCALHOST),
            "any": Criterion("from-src", negated, ANYHOST),
        }[what]
    elif what in ("rdns", "auth") and not p.at("regex", STRING, "{", "<"):
        _once(p, slots, "from", "from")
        if what == "rdns":
            slots["from"] = Criterion("from-rdns", negated)
        else:
            slots["from"] = Criterion("from-src", False, ANYHOST)
            _replace(slots, Criterion("auth", negated))
    else:
        lookups = "rdns lookups" if what == "rdns" else "from lookups"
        table, regex = _tables(p, what, f"from {what}", "from", slots, lookups)
        if what in ("src", "rdns"):
            slots["from"] = Criterion(f"from-{what}", negated, table, regex)
        else:
            slots["from"] = Criterion("from-src", False, ANYHOST)
            _replace(slots, Criterion(what, negated, table, regex))


def _for(p: Parser, negated: bool, slots: dict[str, Criterion]) -> None:
    what = p.at(*FOR)
    if not what:
        token = p.peek()
        if token.kind in (STRING, "<", "{"):
            hint = did_you_mean(token.value, FOR) or 'a domain or a table goes after "for domain"'
            raise p.fail(f'syntax error at "{token.value}"', token, hint)
        raise p.syntax_error()
    p.take()
    if what in ("local", "any"):
        _once(p, slots, "for", "for")
        table = LOCALNAMES if what == "local" else ANYDESTINATION
        slots["for"] = Criterion("for-domain", negated, table)
        return
    name, regex = _tables(p, what, f"for {what}", "for", slots, "'for' lookups")
    if what == "domain":
        slots["for"] = Criterion("for-domain", negated, name, regex)
    else:
        slots["for"] = Criterion("for-domain", False, ANYDESTINATION)
        _replace(slots, Criterion("rcpt-to", negated, name, regex))

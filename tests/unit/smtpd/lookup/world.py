"""The world around an expansion: tables, users and files that say what a test wants."""

import asyncio
from typing import Any

from smtpd.config.model import (
    Config,
    Criterion,
    LocalAction,
    QueueSettings,
    RelayAction,
    Rule,
    SmtpSettings,
    SrsSettings,
)
from smtpd.lookup.expansion import (
    OK,
    Expander,
    ForwardRefused,
    Outcome,
    UserInfo,
)
from smtpd.lookup.rules import Rules, TableTempfail
from smtpd.mail.address import MailAddress, parse
from smtpd.mail.envelope import Envelope
from smtpd.protocol.aliases import Recipient, parse_line

BASE = Envelope(
    evpid=0xABCDEF0100000000,
    type="",
    sender=MailAddress("sender", "from.example"),
    hostname="client.example",
    sockaddr="192.0.2.1",
)

INVALID = "550 Invalid recipient"
LATER = "451 Temporary failure"
LIST_INVALID = "524 5.2.4 Mailing list expansion problem"
LIST_LATER = "424 4.2.4 Mailing list expansion problem"


class World:
    """Tables, users and files of a test; "!" as a value is a temporary failure.

    The action is chosen by the recipient's domain: `actions` by domain.
    """

    def __init__(
        self,
        actions: dict[str, LocalAction | RelayAction] | None = None,
        *,
        aliases: dict[str, str] | None = None,
        users: str | dict[str, int] = "",
        forwards: dict[str, str] | None = None,
        includes: dict[str, str] | None = None,
        rules: tuple[Rule, ...] | None = None,
        delimiter: str = "+",
        srs: SrsSettings | None = None,
    ) -> None:
        self.aliases = aliases or {}
        uids = users if isinstance(users, dict) else dict.fromkeys(users.split(), 1000)
        self.users = {name: UserInfo(name, uid, 100, f"/home/{name}") for name, uid in uids.items()}
        self.forwards = forwards or {}
        self.includes = includes or {}
        self.asked: list[tuple[str, str]] = []
        by_domain = actions or {"here.example": LocalAction(name="local", method="maildir", alias="aliases")}
        self.config = Config(
            actions={action.name: action for action in by_domain.values()},
            rules=rules
            if rules is not None
            else tuple(
                Rule(criteria=(Criterion("for-domain", False, domain),), action=action.name)
                for domain, action in by_domain.items()
            ),
            smtp=SmtpSettings(sub_addr_delim=delimiter),
            queue=QueueSettings(ttl=345),
            srs=srs or SrsSettings(),
        )
        self.told: list[Any] = []

    # the tables

    async def match(self, table: str, service: str, key: str) -> bool:
        self.asked.append((table, key))
        if table == "!":
            raise TableTempfail(table)
        return table in (key, "*")

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        self.asked.append((table, key))
        await asyncio.sleep(0)
        line = self.aliases.get(key)
        if line == "!":
            raise TableTempfail(f"{table}: {key}")
        return None if line is None else parse_line(line)

    async def user(self, table: str, name: str) -> UserInfo | None:
        self.asked.append((table, name))
        if name == "down":
            raise TableTempfail("nobody answers")
        return self.users.get(name)

    # the files

    async def read_forward(self, user: UserInfo) -> list[Recipient] | None:
        line = self.forwards.get(user.username)
        if line == "!":
            raise TableTempfail(".forward")
        if line == "insecure":
            raise ForwardRefused(user.username)
        return None if line is None else [r for part in line.split("\n") for r in parse_line(part)]

    def read_include(self, path: str) -> list[Recipient]:
        return parse_line(self.includes.get(path, ""))

    def expand(self, rcpt: str, **fields: Any) -> Outcome:
        forwards = type("Forwards", (), {"read": lambda _self, user, msgid: self.read_forward(user)})()
        includes = type("Includes", (), {"read": lambda _self, path: self.read_include(path)})()
        expander = Expander(self.config, Rules(self.config, self), self, forwards, includes)
        address = parse(rcpt)
        envelope = BASE._replace(rcpt=address, dest=address, **fields)
        return asyncio.run(expander.expand(envelope, False, self.told.append))


def whom(outcome: Outcome) -> list[str]:
    """The envelopes in short: user, "+" tag, command, or the address for a relay."""
    assert (outcome.status, outcome.reply) == (OK, ""), outcome
    shown = []
    for envelope in outcome.envelopes:
        if envelope.type == "mta":
            shown.append(f"-> {envelope.dest}")
        elif envelope.mda_exec:
            shown.append(f"{envelope.mda_user} | {envelope.mda_exec}")
        else:
            tag = f"+{envelope.mda_subaddress}" if envelope.mda_subaddress else ""
            shown.append(f"{envelope.mda_user}{tag}")
    return shown


def failed(outcome: Outcome) -> tuple[str, str]:
    assert outcome.envelopes == [] and outcome.status != OK
    return outcome.status, outcome.reply


RELAY = RelayAction(name="relay")


def local(**fields: Any) -> LocalAction:
    return LocalAction(**({"name": "local", "method": "maildir", "alias": "aliases"} | fields))


def here(**fields: Any) -> dict[str, LocalAction | RelayAction]:
    """A local action for here.example, and a relay for the rest of the world."""
    return {"here.example": local(**fields), "*": RELAY}

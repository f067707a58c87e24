"""What an explanation tells: steps as messages, in frames, within bounds whatever tables and files hold.

The bounds: STEPS_MAX steps of BYTES_MAX bytes in all, RULES_MAX rules that do not match a recipient,
ENVELOPES_MAX envelopes, TEXT_MAX bytes a text. What goes beyond is counted and left out.
"""

from collections.abc import Callable, Mapping

from smtpd.config.dump import Texts
from smtpd.config.model import Config, RelayAction
from smtpd.mail.envelope import Envelope, clip
from smtpd.messages.control_lookup import (
    ExplainedStep,
    LookedUp,
    PlannedEnvelope,
    TriedRule,
    WalkedRecipient,
)
from smtpd.protocol.aliases import Recipient
from smtpd.protocol.mda_variables import FormatError, FormatValues, expand_format

from .expansion import UserInfo
from .steps import NO_MATCH, Asked, GaveUp, Repeated, Step, Tried, Walked

STEPS_MAX = 5000
BYTES_MAX = 1 << 20
RULES_MAX = 200
ENVELOPES_MAX = 1000
TEXT_MAX = 1000

FRAME_BYTES = 8000
"""A frame is sent when its steps are larger. The last one of them adds six clipped texts at most."""

_STEP_BYTES = 100
"""Of a step without its texts."""


class Report:
    """Takes steps by `tell`, gives frames of steps to `send`.

    `reason` and `failed_at`: why and at which recipient the expansion gave up. `left_out`: how many steps
    were not sent.
    """

    def __init__(self, config: Config, send: Callable[[list[ExplainedStep]], object]) -> None:
        self.reason = ""
        self.failed_at = 0
        self.left_out = 0
        self._config = config
        self._texts = Texts(config)
        self._send = send
        self._recipient = 0
        self._rules = 0
        self._asked: list[Asked] = []
        self._made: list[tuple[int, Envelope]] = []
        self._frame: list[ExplainedStep] = []
        self._size = 0
        self._steps = 0
        self._bytes = 0

    def tell(self, step: Step) -> None:
        """The next step. What was looked up waits for the rule that asked, if one did."""
        if isinstance(step, Asked):
            self._asked.append(step)
            if step.service == "srs":  # no rule asked
                self._looked_up(0)
            return
        if isinstance(step, Tried):
            self._tried(step)
            return
        self._looked_up(0)
        match step:
            case Walked(number, parent, recipient, _):
                self._recipient = number
                self._rules = 0
                self._add(ExplainedStep(number, _walked(parent, recipient), None, None, None))
            case Repeated(recipient):
                walked = _walked(self._recipient, recipient, repeated=True)
                self._add(ExplainedStep(self._recipient, walked, None, None, None))
            case GaveUp(_, _, reason):
                self.reason = _clip(reason)
                self.failed_at = self._recipient
            case Envelope():
                self._made.append((self._recipient, step))

    def plan(self, users: Mapping[str, UserInfo]) -> None:
        """The expansion succeeded: what was made counts. `users`: by name, as they were found."""
        for recipient, envelope in self._made[:ENVELOPES_MAX]:
            envelope_planned = planned(self._config, self._texts, envelope, users.get(envelope.mda_user))
            self._put(ExplainedStep(recipient, None, None, None, envelope_planned))
        self.left_out += len(self._made[ENVELOPES_MAX:])

    def flush(self) -> None:
        """Send what is left."""
        self._looked_up(0)
        self._send_frame()

    def _tried(self, step: Tried) -> None:
        if step.result == NO_MATCH:
            self._rules += 1
        if self._full or self._rules > RULES_MAX and step.result == NO_MATCH:
            self.left_out += 1 + len(self._asked)
            self._asked.clear()
            return
        self._looked_up(step.number)
        criterion, table = "", ""
        if step.criterion is not None:
            criterion = self._texts.criterion(step.criterion)
            table = self._table(step.criterion.table)
        rule = TriedRule(
            step.number,
            _clip(str(step.rule.place)),
            _clip(self._texts.rule(step.rule)),
            step.result,
            _clip(criterion),
            table,
            _clip(step.key),
        )
        self._add(ExplainedStep(self._recipient, None, rule, None, None))

    def _looked_up(self, rule: int) -> None:
        """Say what was looked up. `rule`: the number of the one that asked, 0 if none did."""
        for source, service, key, result, value in self._asked:
            if self._full:
                self.left_out += 1
                continue
            found = LookedUp(rule, self._table(source), service, _clip(key), result, _clip(value))
            self._add(ExplainedStep(self._recipient, None, None, found, None))
        self._asked.clear()

    def _table(self, name: str) -> str:
        return _clip(self._texts.table(name) if name in self._config.tables else name)

    @property
    def _full(self) -> bool:
        return self._steps >= STEPS_MAX or self._bytes >= BYTES_MAX

    def _add(self, step: ExplainedStep) -> None:
        if self._full:
            self.left_out += 1
            return
        self._steps += 1
        self._bytes += self._put(step)

    def _put(self, step: ExplainedStep) -> int:
        """Into the frame; its size."""
        size = _STEP_BYTES
        for part in step[1:]:
            if part is not None:
                size += sum(3 * len(field) for field in part if isinstance(field, str))
        self._frame.append(step)
        self._size += size
        if self._size > FRAME_BYTES:
            self._send_frame()
        return size

    def _send_frame(self) -> None:
        if self._frame:
            self._send(self._frame)
            self._frame = []
            self._size = 0


def planned(config: Config, texts: Texts, envelope: Envelope, user: UserInfo | None) -> PlannedEnvelope:
    """What would be done with an envelope. `user`: its mda_user, as expansion found it."""
    action = config.actions[envelope.dispatcher]
    if isinstance(action, RelayAction):
        method, wrapper, username = "relay", "", ""
        if not action.host:
            command = f"MX of {envelope.dest.domain}"
        elif action.host_is_domain:
            command = f"{envelope.dest.domain} in {texts.table(action.host)}"
        else:
            command = texts.table(action.host)
    else:
        method = "mda" if envelope.mda_exec else action.method
        wrapper = action.wrapper if method == "mda" else ""
        username = action.user or envelope.mda_user
        command = envelope.mda_exec or action.argument or ("~/Maildir" if method == "maildir" else "")
        command = _expanded(config, command, envelope, user)
    return PlannedEnvelope(
        envelope.type,
        envelope.dispatcher,
        method,
        _clip(envelope.dest.path),
        username,
        _clip(command),
        wrapper,
    )


def _expanded(config: Config, command: str, envelope: Envelope, user: UserInfo | None) -> str:
    # Nobody looks up the home of the user that commands in aliases run as before mail is there.
    username, directory = (envelope.mda_user, "~") if user is None else (user.username, user.directory)
    values = FormatValues(envelope.sender, envelope.rcpt, envelope.dest, username, directory)
    try:
        return expand_format(command, values, config.smtp.sub_addr_delim)
    except FormatError as error:
        return f"{command} (cannot be expanded: {error})"


def _walked(parent: int, recipient: Recipient, *, repeated: bool = False) -> WalkedRecipient:
    return WalkedRecipient(parent, recipient.kind, _clip(recipient.text), repeated)


def _clip(text: str) -> str:
    shown = clip(text, TEXT_MAX)
    return text if shown == text else f"{shown}..."

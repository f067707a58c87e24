"""sendmail(8): submits a message from standard input, as programs and users have done it for decades.

usage: sendmail [-tv] [-f from] [-F name] [-N notify] [-R ret] [-V envid] to ...

-bp is mailq, -bi newaliases, -bs an SMTP session on standard input and output, -q tries all envelopes now.
-i and the other options of the real sendmail are taken and mean nothing: a lone dot never ends a message, as
with OpenSMTPD. A recipient @FILE stands for those in the file, unless it comes after "--".

Exit status as in sysexits.h: 0 when every recipient was accepted, EX_NOUSER when one was refused, EX_TEMPFAIL
when the message may be sent again later, EX_DATAERR when it never can. While no daemon runs it waits in
offline/, and the status is EX_TEMPFAIL, as OpenSMTPD's (not with -S, which says that it comes from there). A
message that nobody took is kept in ~/dead.letter.
"""

import contextlib
import os
import pwd
import selectors
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from smtpd.config.machine import Machine
from smtpd.protocol.smtp.client_events import Mail, Rcpt

from . import offline_mail, submission
from .client import NotRunning
from .composition import BadMessage, Composition
from .offline_mail import CannotKeep
from .places import Places, find_places
from .submission import Dialogue, SubmissionError, Verdict

_WITH_VALUE = "ABbFfLNoprRV"
_MAY_HAVE_VALUE = "EeJq"
_FLAGS = "GimnStUvx"
_USAGE = "usage: sendmail [-tv] [-f from] [-F name] [-N notify] [-R ret] [-V envid] to ..."


type Lines = Callable[[], Iterator[bytes]]


class Options(NamedTuple):
    """The command line. `mode`: the letter of -b, "m" for a message; `sender` is None without -f or -r.

    `files`: with more recipients; `again`: the message comes out of offline/ (-S).
    """

    recipients: tuple[str, ...]
    files: tuple[str, ...] = ()
    mode: str = "m"
    sender: str | None = None
    fullname: str | None = None
    from_header: bool = False
    verbose: bool = False
    flush: bool = False
    again: bool = False
    notify: str = ""
    ret: str = ""
    envid: str = ""


class Usage(ValueError):
    """The command line means nothing; the text says what is wrong."""


def main(argv: Sequence[str]) -> int:
    """The exit status. `argv` is without the program's name."""
    try:
        options = parse(argv)
    except Usage as error:
        return _fail(f"{error}\n{_USAGE}", os.EX_USAGE)
    places = find_places(None, os.environ)
    try:
        if options.mode == "s":
            return _session(places)
        return _send(options, places)
    except (SubmissionError, NotRunning) as error:
        return _fail(str(error), error.status)
    except BadMessage as error:
        return _fail(str(error), os.EX_DATAERR)


def parse(argv: Sequence[str]) -> Options:
    """The options, sendmail's way: "-f from", "-ffrom", "-tv". Usage."""
    values: dict[str, str] = {}
    recipients: list[str] = []
    files: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            recipients += words
        elif not word.startswith("-") or word == "-":
            for each in (word, *words):  # no options after the first recipient, as getopt(3) has it
                (files if each.startswith("@") else recipients).append(each)
        else:
            _parse_word(word, words, values)
    sender = values.get("r", values.get("f"))
    return Options(
        recipients=tuple(each for word in recipients for each in word.split(",") if each),
        files=tuple(each[1:] for each in files),
        mode=values.get("b", "m")[:1],
        sender=sender,
        fullname=values.get("F"),
        from_header="t" in values,
        verbose="v" in values,
        flush="q" in values,
        again="S" in values,
        notify=values.get("N", "").upper(),
        ret=values.get("R", "").upper(),
        envid=values.get("V", ""),
    )


def _parse_word(word: str, words: Iterable[str], values: dict[str, str]) -> None:
    for i, letter in enumerate(word[1:], 1):
        rest = word[i + 1 :]
        if letter in _WITH_VALUE:
            value = rest or next(iter(words), None)
            if value is None:
                raise Usage(f"-{letter} needs a value")
            values[letter] = value
            return
        if letter in _MAY_HAVE_VALUE:
            values[letter] = rest
            return
        if letter not in _FLAGS:
            raise Usage(f"unknown option -{letter}")
        values[letter] = ""


def _send(options: Options, places: Places) -> int:
    machine_name = Machine().hostname()
    user = _user(options)
    with tempfile.TemporaryFile() as body:
        composition = Composition(sys.stdin.buffer, body)
        author = options.sender if options.sender is not None else composition.author
        sender = _qualified(_without_brackets(author), machine_name) if author else ""
        if options.sender is None and not author:
            sender = _qualified(user.pw_name if user else "anonymous", machine_name)
        wanted = [*options.recipients, *_from_files(options.files)]
        wanted += composition.recipients if options.from_header else ()
        recipients = list(dict.fromkeys(_qualified(_without_brackets(each), machine_name) for each in wanted))
        if not recipients:
            raise SubmissionError("no recipients", os.EX_USAGE)
        fullname = options.fullname
        if fullname is None:  # whoever gives a sender may be somebody else
            fullname = "" if options.sender is not None else _fullname(user)
        mail = Mail(
            sender=sender,
            rcpts=tuple(Rcpt(each, options.notify) for each in recipients),
            size=composition.octets,
            eightbit=composition.eightbit,
            ret=options.ret,
            envid=options.envid,
        )

        def lines() -> Iterator[bytes]:
            return composition.lines(sender, fullname)

        if options.again:
            return _send_again(places, mail, lines)
        try:
            connection = submission.connect(places)
        except NotRunning:
            return _wait_offline(places, mail, lines)
        with connection:
            verdicts = Dialogue(connection, verbose=options.verbose).submit(mail, lines())
        status = _judge(verdicts)
        if status != os.EX_OK and not any(verdict.ok for verdict in verdicts):
            _keep(lines())
        return status


def _send_again(places: Places, mail: Mail, lines: Lines) -> int:
    """What comes out of offline/ and may go there again: either all is done, or nothing was.

    EX_TEMPFAIL: nothing. EX_OK: whoever is not refused for good has it, and what others were refused is kept.
    """
    refused = os.EX_OK
    while mail.rcpts:
        with submission.connect(places) as connection:
            verdicts = Dialogue(connection, whole=True).submit(mail, lines())
        if all(verdict.ok for verdict in verdicts):
            break
        never = {verdict.address for verdict in verdicts if not verdict.ok and not verdict.later}
        if not never:
            return _judge(verdicts)
        refused = _judge([verdict for verdict in verdicts if verdict.address in never])
        mail = mail._replace(rcpts=tuple(rcpt for rcpt in mail.rcpts if rcpt.address not in never))
    if refused != os.EX_OK and not _keep(lines()):
        return os.EX_CANTCREAT
    return os.EX_OK


def _wait_offline(places: Places, mail: Mail, lines: Lines) -> int:
    """Nobody is there to take it: into offline/, with what was made of the command line and the header."""
    arguments = [f"-f{mail.sender or '<>'}"]
    arguments += [f"-N{mail.rcpts[0].notify}"] if mail.rcpts[0].notify else []
    arguments += [f"-R{mail.ret}"] if mail.ret else []
    arguments += [f"-V{mail.envid}"] if mail.envid else []
    arguments += ["--", *(rcpt.address for rcpt in mail.rcpts)]
    try:
        offline_mail.keep(places.spool, arguments, lines())
    except CannotKeep as error:
        print(f"sendmail: smtpd is not running, and {error}", file=sys.stderr)
        _keep(lines())
        return os.EX_UNAVAILABLE
    return os.EX_TEMPFAIL


def _from_files(paths: Iterable[str]) -> Iterator[str]:
    """The addresses in files: several a line with commas between them, or one; "#" begins a comment."""
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    yield from filter(None, map(str.strip, line.partition("#")[0].split(",")))
        except OSError as error:
            raise SubmissionError(f"{path}: {error.strerror}", os.EX_NOINPUT) from None


def _judge(verdicts: Sequence[Verdict]) -> int:
    """Say who did not get it; the exit status."""
    status = os.EX_OK
    for verdict in verdicts:
        if verdict.ok:
            continue
        print(f"sendmail: {verdict.address}: {verdict.status}", file=sys.stderr)
        now = _STATUS[verdict.later, verdict.command.startswith("RCPT")]
        status = max(status, now, key=_WEIGHT.index)
    return status


_STATUS = {
    (True, True): os.EX_TEMPFAIL,
    (True, False): os.EX_TEMPFAIL,
    (False, True): os.EX_NOUSER,
    (False, False): os.EX_DATAERR,
}
"""(later, RCPT was refused) -> exit status."""

_WEIGHT = (os.EX_OK, os.EX_TEMPFAIL, os.EX_DATAERR, os.EX_NOUSER)
"""Of several the last one counts."""


def _keep(content: Iterable[bytes]) -> bool:
    """Put what was not taken into ~/dead.letter, as OpenSMTPD's sendmail does; whether that was possible.

    $DEAD names another file, as for mailx(1).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path = Path(os.environ.get("DEAD") or Path(pwd.getpwuid(os.getuid()).pw_dir) / "dead.letter")
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.writelines(content)
    except (KeyError, OSError):
        return False
    print(f"sendmail: the message is in {path}", file=sys.stderr)
    return True


def _session(places: Places) -> int:
    """-bs: whoever called us speaks SMTP."""
    with submission.connect(places) as connection, selectors.PollSelector() as waiting:
        connection.settimeout(None)
        waiting.register(connection, selectors.EVENT_READ)
        waiting.register(sys.stdin.buffer, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is connection:
                    data = connection.recv(submission.PIECE)
                    if not data:
                        return os.EX_OK
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
                    continue
                data = os.read(sys.stdin.fileno(), submission.PIECE)
                if data:
                    connection.sendall(data)
                else:
                    waiting.unregister(sys.stdin.buffer)
                    connection.shutdown(socket.SHUT_WR)


def _user(options: Options) -> pwd.struct_passwd | None:
    """Who sends: whoever logged in, as long as that is not another user than the one who calls."""
    uid = os.getuid()
    with contextlib.suppress(OSError, KeyError):
        if not options.again:
            user = pwd.getpwnam(os.getlogin())
            if uid in (0, user.pw_uid):
                return user
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _fullname(user: pwd.struct_passwd | None) -> str:
    """The name in the gecos field; "&" stands for the login name there."""
    if user is None:
        return ""
    name = user.pw_gecos.partition(",")[0]
    return name.replace("&", user.pw_name.capitalize())


def _qualified(address: str, hostname: str) -> str:
    return address if "@" in address or not address else f"{address}@{hostname}"


def _without_brackets(address: str) -> str:
    address = address.strip()
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address


def _fail(text: str, status: int) -> int:
    print(f"sendmail: {text}", file=sys.stderr)
    return status

"""From argv to a running parent: configuration, places, sockets, then Process.serve.

All that can fail for reasons an operator has to mend fails here, before anything is started, in one line.
"""

import argparse
import fcntl
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import setproctitle

from smtpd import __version__
from smtpd.config.dump import dump
from smtpd.config.errors import ConfigErrors
from smtpd.config.machine import Machine
from smtpd.config.model import Config, LocalAction
from smtpd.config.parse import parse_file, parse_text
from smtpd.messages import links
from smtpd.mproc.log import SUBSYSTEMS, Log
from smtpd.mproc.loop import new_loop
from smtpd.spool import layout

from . import sockets, unserved
from .deliveries import MAILBOX_ALONE
from .interfaces import following
from .places import FIRST_CONFIGURATION, Places, PlacesError, find_configuration, find_places

EXIT_FAILED = 1

_DESCRIPTORS = 65536


class StartError(Exception):
    """The daemon cannot start; the text says why."""


def main(options: argparse.Namespace) -> int:
    """Check the configuration (-n) or run the daemon; the exit status."""
    try:
        if options.state == "":
            raise StartError("--state wants a folder")
        _check_traces(options.traces)
        macros = _macros(options.macros)
        path = find_configuration(options.file, options.state, make=not options.check)
        if options.check and options.file is None and options.state and not path.exists():
            config = parse_text(FIRST_CONFIGURATION, str(path), macros)  # what a start would make
        else:
            config = parse_file(str(path), macros=macros)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return EXIT_FAILED
    except (OSError, StartError) as error:
        print(f"smtpd: {reason(error)}", file=sys.stderr)
        return EXIT_FAILED
    if options.check:
        print("configuration OK", file=sys.stderr)
        if options.verbose:
            _show(config)
        return 0
    try:
        return _run(config, options)
    except (OSError, PlacesError, StartError, unserved.Unsafe) as error:
        print(f"smtpd: {reason(error)}", file=sys.stderr)
        return EXIT_FAILED


def _show(config: Config) -> None:
    """The configuration as it was understood, on standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(dump(config).encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def _check_traces(names: list[str]) -> None:
    for name in names:
        if name not in (*SUBSYSTEMS, "transfer", "all"):
            raise StartError(f'unknown trace flag "{name}"')


def reason(error: Exception) -> str:
    """An exception as a line for the operator, without the number of an errno."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _macros(words: list[str]) -> dict[str, str]:
    macros = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise StartError(f"could not parse macro definition {word}")
        macros[name] = value
    return macros


def _run(config: Config, options: argparse.Namespace) -> int:
    places = find_places(options.state)
    _make_places(places)
    lock = _lock_spool(places.spool)
    try:
        return _serve(config, options, places)
    finally:
        os.close(lock)


def _interrupted(number: int, frame: object) -> NoReturn:
    """Told to stop while still starting: nothing has been taken on yet."""
    raise SystemExit(0)


def _serve(config: Config, options: argparse.Namespace, places: Places) -> int:
    config, left_out = unserved.serve(config)
    for number in (signal.SIGTERM, signal.SIGINT):  # until Process.serve has its own
        signal.signal(number, _interrupted)
    follows = following(config, Machine())
    listeners = sockets.listen_smtp(config, follows)
    try:
        control = sockets.listen_control(places.socket)
    except OSError:
        for each in listeners:
            each.socket.close()
        raise
    try:
        return _start(config, options, places, left_out, listeners, control, follows)
    except SystemExit:
        places.socket.unlink(missing_ok=True)
        raise


def _start(
    config: Config,
    options: argparse.Namespace,
    places: Places,
    left_out: list[str],
    listeners: list[sockets.Bound],
    control: socket.socket,
    follows: frozenset[int],
) -> int:
    _raise_descriptors()
    background = not (options.debug or options.foreground)
    log_to = "stderr" if options.debug or (options.foreground and options.state) else "syslog"
    if background:
        _daemonize()

    # Loaded late: -n needs no loop, and the fork above must not copy one.
    from .process import Process

    setproctitle.setproctitle("smtpd: parent [priv]" if places.separated else "smtpd: parent")
    log = Log(links.PARENT, syslog=log_to == "syslog", verbose=options.verbose > 0)
    for subsystem in options.traces:
        log.set_trace(subsystem, on=True)
    log.info(f"smtpd {__version__} starting")
    for line in left_out:
        log.warn(line)
    if not places.separated:
        if os.geteuid() == 0:
            log.warn("all processes run as root: this is for trying out only")
        log.info(f"mail for NAME@localhost lands in {places.homes}/NAME/{_box(config)}")
    process = Process(
        new_loop(),
        log,
        config=config,
        places=places,
        log_to=log_to,
        listeners=listeners,
        control=control,
        following=follows,
    )
    process.paused = frozenset(options.paused)
    return process.serve()


def _box(config: Config) -> str:
    """What a home has mail in."""
    methods = {action.method for action in config.actions.values() if isinstance(action, LocalAction)}
    boxes = {"mbox": MAILBOX_ALONE, "maildir": "Maildir"}
    return " or ".join(name for method, name in boxes.items() if method in methods) or "Maildir"


def _make_places(places: Places) -> None:
    """The folders that must be there, with their owners."""
    for folder in (places.spool.parent, places.empty):
        _make_folder(folder, places.separated)
    if any(places.empty.iterdir()):
        raise StartError(f"{places.empty} is not empty: processes are locked into it")
    if places.homes:
        Path(places.homes).mkdir(exist_ok=True)
    wrong = layout.prepare(str(places.spool), *places.queue_user)
    if wrong:
        raise StartError("; ".join(wrong))


def _make_folder(folder: Path, public: bool) -> None:
    """The folder and those above it. `public`: other users come through, whatever the umask of our caller."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if public:
            path.chmod(0o755)


def _raise_descriptors() -> None:
    """As many descriptors as we may have, for us and for all that we start: each session takes some."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > _DESCRIPTORS:
        hard = _DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def _lock_spool(spool: Path) -> int:
    """A lock on the spool folder for as long as we live; StartError when another daemon has it."""
    fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StartError(f"{spool}: another daemon is working on this spool") from None
    return fd


def _daemonize() -> None:
    """Into the background: a session of our own, no terminal, nothing on the standard descriptors."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    os.chdir("/")  # the folder that we were started from can be unmounted
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)

"""The life of a child process, from exec to exit.

In this order: load every module; say ChildHello; read the setup (configuration, links); open what needs to be
opened; chroot, switch user, no_new_privs; say ChildReady; serve until Shutdown or until parent is gone. From
the privilege drop on nothing is imported any more: a finder that refuses sees to it, with and without chroot.
"""

import codecs
import contextlib
import mmap
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import setproctitle

from imsg import Channel, FrameError, MessageError, Recorder
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.parent_child import (
    ChildHello,
    ChildReady,
    PeerLink,
    RecorderMemory,
    Setup,
    SetupComplete,
    Shutdown,
)

from . import crash, privileges
from .log import Log
from .loop import new_loop
from .process import EXIT_FAULT, ChildProcess, channel_on
from .spawn import DESCRIPTOR_VARIABLE

_SETUP_SECONDS = 30.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1)


class RefuseImports:
    """A finder that ends every import: after the drop there is nothing to import from."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse."""
        self._log.warn(f"import of {name} after the privileges were dropped")
        raise ImportError(f"no imports after the privilege drop: {name}")


class SetupFailed(Exception):
    """parent sent something else than a setup."""


class NeverStarted(Exception):
    """parent was stopped before this child was set up."""


def main(process_class: type[ChildProcess]) -> NoReturn:
    """Be the child that `process_class` describes."""
    name = process_class.NAME
    setproctitle.setproctitle(f"smtpd: {name}")
    for number in _IGNORED:  # parent decides when a child ends; a terminal's ^C reaches parent alone
        signal.signal(number, signal.SIG_IGN)
    time.tzset()  # reads the time zone while there is a file system
    _load_codecs()
    _load_traceback()

    log = Log(name)
    try:
        parent = _parent_socket()
        setup, config, memory, links = _read_setup(parent)
    except NeverStarted:
        os._exit(0)
    except (SetupFailed, FrameError, MessageError, OSError) as error:  # ChannelClosed is an OSError
        log.crit(f"setup: {error}")
        os._exit(EXIT_FAULT)

    log = Log(name, syslog=setup.log == "syslog", verbose=setup.verbose > 0)
    log.set_traces(tuple(setup.traces))
    loop = new_loop()
    process = process_class(loop, log, Recorder(memory))
    process.instance = setup.instance
    process.homes = setup.homes
    if memory is not None:
        crash.catch_signals(memory.fd)
    try:
        process.load_config(config)
        process.prepare()

        _drop(setup)
        process.root = "/" if setup.uid >= 0 else setup.root
        sys.meta_path.insert(0, RefuseImports(log))

        # The id numbers of this channel start anew: ChildHello was outside of any request.
        to_parent = process.attach("parent", 0, channel_on(parent.detach(), "parent", process))
        for peer, instance, descriptor in links:
            process.attach(peer, instance, channel_on(descriptor, peer, process))
        process.start()
        to_parent.send(ChildReady())
        loop.run_forever()
    except Exception as error:
        process.fault(error)
    for left in process.peers():  # what was said at the end still goes out
        with contextlib.suppress(OSError):  # to those that are still there
            left.channel.flush()
    os._exit(process.exit_status)


def _parent_socket() -> socket.socket:
    """The socket that spawn.py told us of in the environment."""
    try:
        parent = socket.socket(fileno=int(os.environ.pop(DESCRIPTOR_VARIABLE)))
    except (KeyError, ValueError, OSError):
        raise SetupFailed(f"only smtpd itself starts this: no socket in ${DESCRIPTOR_VARIABLE}") from None
    parent.setblocking(False)
    os.set_inheritable(parent.fileno(), False)
    return parent


def _load_codecs() -> None:
    """Codecs are imported at first use, which may come after the drop."""
    for codec in ("ascii", "latin-1", "utf-8", "idna", "punycode", "unicode_escape", "raw_unicode_escape"):
        "a".encode(codec)
    for codec in ("base64", "quopri", "hex"):
        codecs.lookup(codec)


def _load_traceback() -> None:
    """Printing an exception imports modules too; the first one may come after the drop."""
    try:
        _load_traceback.nothing  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        traceback.format_exception(error)


def _read_setup(parent: socket.socket) -> tuple[Setup, bytes, Any, list[tuple[str, int, int]]]:
    """Say hello, then read until SetupComplete: setup, configuration, the recorder's memory, the links."""
    channel = Channel(parent, CATALOGUE)
    channel.put(ChildHello(os.getpid(), CATALOGUE.digest()))
    channel.flush()
    setup: Setup | None = None
    config = b""
    memory: Any = None
    links: list[tuple[str, int, int]] = []
    deadline = time.monotonic() + _SETUP_SECONDS
    while True:
        if not select.select([parent], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise SetupFailed(f"parent has sent no setup for {_SETUP_SECONDS:.0f} s")
        complete = False
        for _number, message, _peerid, fd in channel.receive():
            match message:
                case Setup() if fd is not None:
                    if message.digest != CATALOGUE.digest():
                        raise SetupFailed("parent has another message catalogue: two versions are mixed")
                    setup = message
                    config = _read_sealed(fd)
                case RecorderMemory() if fd is not None:
                    memory = _map(fd, message.size)
                case PeerLink() if fd is not None:
                    links.append((message.name, message.instance, fd))
                case SetupComplete() if setup is not None:
                    complete = True
                case Shutdown():
                    raise NeverStarted
                case _:
                    raise SetupFailed(f"unexpected {type(message).__name__}")
        if complete and setup is not None:
            return setup, config, memory, links


class RecorderMap(mmap.mmap):
    """The recorder's memory. `fd`: a descriptor of it, open for as long as it is mapped."""

    fd = -1

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _map(fd: int, size: int) -> RecorderMap:
    """Map the recorder's memory, which owns the descriptor from now on."""
    try:
        memory = RecorderMap(fd, size)
    except (ValueError, OverflowError) as error:
        os.close(fd)
        raise SetupFailed(f"the recorder's memory: {error}") from None
    memory.fd = fd
    return memory


def _read_sealed(fd: int) -> bytes:
    """The bytes of the memfd that parent wrote the configuration into."""
    with os.fdopen(fd, "rb") as sealed:
        sealed.seek(0)
        return sealed.read()


def _drop(setup: Setup) -> None:
    """Into the root, to the user, for good."""
    if setup.uid >= 0:
        privileges.enter(setup.root)
        privileges.become(setup.uid, setup.gid)
    else:
        os.chdir(setup.root)
    os.umask(0o077)
    privileges.no_new_privs()
    privileges.undumpable()

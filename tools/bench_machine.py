"""What tools/bench does with the machine: namespaces of its own, processes it started, their memory.

Everything a rival keeps at a fixed place (/var/spool/smtpd, /var/run/smtpd.sock, /etc/passwd) is laid over in
a mount namespace that ends with the tool, so nothing of the machine changes. Only processes that descend from
this one are ever signalled.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import family

_PR_SET_CHILD_SUBREAPER = 36
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """The run cannot go on; the text says why."""


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    done = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    if done != 0:
        error = ctypes.get_errno()
        raise BenchError(f"cannot mount {source} on {target}: {os.strerror(error)}")


def own_mounts() -> None:
    """Leave the machine's mount namespace for a private one; needs root."""
    os.unshare(os.CLONE_NEWNS)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def own_network() -> None:
    """Leave the machine's network for a private loopback without delayed acknowledgements; needs root.

    A sender that writes a mail in several small segments waits up to 40 ms for an acknowledgement:
    OpenSMTPD's MTA then does 24 mails a second and connection. The path does that, so we leave it out.
    """
    from pyroute2 import IPRoute

    os.unshare(os.CLONE_NEWNET)
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        for destination in ("127.0.0.0/8", "127.0.0.1/32"):
            route.route(
                "replace",
                dst=destination,
                oif=1,
                table=255,
                type="local",
                scope="host",
                proto="kernel",
                prefsrc="127.0.0.1",
                metrics={"quickack": 1},
            )


_laid: set[str] = set()


def lay_over(source: Path, target: str) -> None:
    """Show `source` (a file or a folder) at `target`, which must exist, to this process and its children.

    What was laid there before is taken away first.
    """
    if target in _laid:
        _libc.umount2(target.encode(), _MNT_DETACH)
    _laid.add(target)
    _mount(str(source), target, None, _MS_BIND)


def take_away() -> None:
    """Take away all that `lay_over` laid, so that the folders it showed can be removed."""
    for target in _laid:
        _libc.umount2(target.encode(), _MNT_DETACH)
    _laid.clear()


def empty_over(target: str) -> None:
    """Show an empty folder at `target`; it lies in memory, so it is for sockets only."""
    _mount("tmpfs", target, "tmpfs", 0, "mode=755")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can be lost sight of."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def file_system(path: Path) -> str:
    """The kind of file system `path` lies on, as /proc/self/mounts names it."""
    best, kind = "", "unknown"
    target = str(path.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, what, *_ = line.split()
        inside = target == where or target.startswith(where.rstrip("/") + "/")
        # Of two at the same place, the later one is on top.
        if inside and len(where) >= len(best):
            best, kind = where, what
    return kind


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, check: Callable[[], bool], seconds: float, interval: float = 0.02) -> None:
    """Return when `check()` holds; BenchError naming `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            raise BenchError(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


def greets(port: int) -> bool:
    """Whether an SMTP server greets with 220 on 127.0.0.1:`port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as client:
            client.settimeout(2)
            return client.recv(4) == b"220 "
    except OSError:
        return False


class Program:
    """A process that the tool started, in a session of its own, its output in `log`."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        *,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        output: Path | None = None,
    ) -> None:
        self.name = Path(arguments[0]).name
        self.log = log
        with open(log, "ab") as errors, open(output or log, "ab") as standard:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=standard,
                stderr=errors,
                start_new_session=True,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM, then after `seconds` SIGKILL, for it and everything below it. Its exit status."""
        pids = [self.pid, *family.below(self.pid)]
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        end(pids)
        self.process.wait(seconds)
        return self.process.returncode


def end(pids: list[int]) -> None:
    """SIGKILL for those of `pids` that are below this process."""
    family.kill_all(sorted(set(pids) & set(family.below(os.getpid()))))


def end_all() -> None:
    """End whatever is still below this process."""
    end(family.below(os.getpid()))

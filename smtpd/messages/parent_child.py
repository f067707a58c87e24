"""parent and every child: start, configuration, links, stop (numbers 0x01xx)."""

from typing import NamedTuple

from imsg.message import I64, U8, U32, message

from .links import CHILDREN, PARENT


@message(0x0101, CHILDREN, PARENT)
class ChildHello(NamedTuple):
    """The first message of a child: all its modules are loaded. `digest`: of its message catalogue."""

    pid: U32
    digest: str


@message(0x0102, PARENT, CHILDREN, descriptor=True)
class Setup(NamedTuple):
    """What a child is and may do; the descriptor is a sealed memfd with its slice of the configuration.

    `root`: the folder to chroot into, or (`uid` < 0: not started as root) to work in. `uid`, `gid`: -1 for no
    switch. `homes`: the folder that holds the users' homes when the daemon serves its caller alone, "" for
    the system's users. `log`: where lines go, "syslog" or "stderr". `verbose`: 0 brief, 1 verbose. `traces`:
    subsystems traced at start.
    """

    digest: str
    instance: U8
    generation: U32
    root: str
    uid: I64
    gid: I64
    homes: str
    log: str
    verbose: U8
    traces: list[str]


@message(0x0103, PARENT, CHILDREN, descriptor=True)
class RecorderMemory(NamedTuple):
    """The memory of the child's flight recorder, shared so that parent can read it when the child is dead."""

    size: U32


@message(0x0104, PARENT, CHILDREN, descriptor=True)
class PeerLink(NamedTuple):
    """One end of the socketpair to another process. A second one for the same peer replaces the first."""

    name: str
    instance: U8


@message(0x0105, PARENT, CHILDREN)
class SetupComplete(NamedTuple):
    """Nothing more comes before the child has given up its privileges and said ChildReady."""


@message(0x0106, CHILDREN, PARENT)
class ChildReady(NamedTuple):
    """The child is chrooted, runs as its user and serves its peers."""


@message(0x0107, PARENT, CHILDREN)
class Begin(NamedTuple):
    """Every process is ready: listeners may accept, the spool may be read.

    `paused`: those of "mda", "mta" and "smtp" that are to start paused (smtpd(8), "-P").
    """

    paused: list[str]


@message(0x0108, PARENT, CHILDREN)
class Shutdown(NamedTuple):
    """Stop accepting, finish what can be finished within `seconds`, then exit with status 0."""

    seconds: U8

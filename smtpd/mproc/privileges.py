"""Giving up rights for good: chroot, user switch, no_new_privs (smtpd/README.md, "Privileges").

Everything that a process must open or import happens before; nothing here can be undone.
"""

import ctypes
import os
import struct

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x20080522

CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_CHROOT = 18

# Looked up at import: after the chroot no library can be found any more.
_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]


def _set(option: int, value: int) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def no_new_privs() -> None:
    """No exec of this process or its children gains rights any more (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    _set(_PR_SET_NO_NEW_PRIVS, 1)


def undumpable() -> None:
    """No core file, no ptrace by the same user: another process of that user cannot read our memory."""
    _set(_PR_SET_DUMPABLE, 0)


def keep_capabilities(*kept: int) -> None:
    """Give up all capabilities but these (capabilities(7), by number) for good, after an exec too."""
    mask = sum(1 << number for number in kept)
    for number in range(64):
        if not mask >> number & 1 and _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break  # EINVAL: beyond the last one this kernel has
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    if _libc.capset(header, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def enter(root: str) -> None:
    """chroot into `root` and stand there."""
    os.chroot(root)
    os.chdir("/")


def become(uid: int, gid: int, saved_gid: int = -1) -> None:
    """Switch to a user for good, without supplementary groups.

    `saved_gid`: a group that can be taken on and off again (setegid); -1 for none.

    Raises RuntimeError when the old rights could be had back: a system on which the switch does not hold is
    none to run a mail daemon on.
    """
    os.setgroups([])
    os.setresgid(gid, gid, gid if saved_gid == -1 else saved_gid)
    os.setresuid(uid, uid, uid)
    if uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise RuntimeError("the user switch does not hold")

"""Crash files: what all processes last said to each other when one of them died, and where that one was.

A file is gzip: one line of JSON that says what follows, then the recorders' memory as it was, byte for byte:
nothing of what a process left there is interpreted by parent. `smtpctl show crash` reads it. The folder and
the files belong to root alone; KEPT of them stay, the oldest go.
"""

import contextlib
import gzip
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imsg import Recorder
from smtpd import __version__
from smtpd.messages.catalogue import CATALOGUE

KEPT = 16
PREFIX = "crash-"
SUFFIX = ".gz"


def write_crash_file(
    folder: Path, process: str, pid: int, ending: str, memories: Mapping[str, tuple[int, Any]]
) -> Path:
    """Write a file for a process that died; its path. OSError.

    `ending`: how it died, in words. `memories`: (pid, recorder's memory) by process.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    blocks = {name: bytes(memory) for name, (_, memory) in memories.items()}
    head = {
        "smtpd": __version__,
        "catalogue": CATALOGUE.digest(),
        "time": time.time(),
        "monotonic": time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        "process": process,
        "pid": pid,
        "ending": ending,
        "last words": Recorder.read_note(blocks.get(process, b"")),
        "memories": [[name, memories[name][0], len(block)] for name, block in blocks.items()],
    }
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = folder / f"{PREFIX}{stamp}-{process}-{pid}{SUFFIX}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file, gzip.GzipFile("", "wb", 1, file) as packed:
        packed.write(json.dumps(head).encode() + b"\n")
        for block in blocks.values():
            packed.write(block)
    _remove_old(folder)
    return path


def _remove_old(folder: Path) -> None:
    """The names sort by time."""
    found = sorted(path for path in folder.glob(f"{PREFIX}*{SUFFIX}") if not path.is_symlink())
    for path in found[:-KEPT]:
        with contextlib.suppress(OSError):
            path.unlink()

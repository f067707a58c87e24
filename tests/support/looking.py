"""An smtpctl that looks into a daemon while a test does something."""

import os
import select
import signal
import subprocess
import sys
import time

import tree
from daemon import Daemon

from smtpctl.see.limits import ALL_WATCHED


class Looking:
    """Started, and on: what is sent from now on is seen."""

    def __init__(
        self,
        daemon: Daemon,
        *words: str,
        stdout: int = subprocess.PIPE,
        until: bytes = ALL_WATCHED.encode(),
    ) -> None:
        """`until`: it is on when it has said so on standard error."""
        # In the background of a shell interrupts are ignored, and whoever is started there inherits that.
        self.process = subprocess.Popen(
            [
                "env",
                "--default-signal=INT",
                sys.executable,
                "-m",
                "smtpctl",
                "--state",
                str(daemon.state),
                *words,
            ],
            cwd=tree.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        assert self.process.stderr is not None
        said = b""
        deadline = time.monotonic() + 30
        while until not in said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.process.stderr], [], [], left)[0], "it does not begin"
            new = os.read(self.process.stderr.fileno(), 4096)
            assert new, said.decode()
            said += new

    def end(self, seconds: float = 20) -> tuple[str, str]:
        """What it wrote, once it has ended by itself."""
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, err.decode()
        return (out or b"").decode(), err.decode()

    def line(self) -> bytes:
        """The next line that it writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it has ended"
        return line

    def interrupt(self) -> tuple[str, str]:
        """^C, and what it wrote."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def kill(self) -> None:
        """SIGKILL: it says nothing more to anybody."""
        self.process.kill()
        self.process.communicate()

"""`python -m smtpd.delivery FD`."""

import socket
import subprocess
import sys

from smtpd.mproc.spawn import environment


def test_it_serves_the_socket_it_is_given_until_that_is_closed() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", "smtpd.delivery", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment())
    theirs.close()
    ours.close()
    assert process.wait(20) == 0


def test_without_a_socket() -> None:
    done = subprocess.run([sys.executable, "-m", "smtpd.delivery"], env=environment(), capture_output=True)
    assert done.returncode != 0

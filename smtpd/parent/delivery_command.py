"""Commands that deliver mail: what is run, with which environment, and running it as a user.

The command comes from parent's own configuration or from the user's .forward; addresses get into it only
through smtpd.protocol.mda_variables. Parent holds the pipes' ends for pony, and reads or writes neither.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import smtpd
from smtpd.config.model import Config, LocalAction
from smtpd.messages.parent_pony import OpenCommand
from smtpd.protocol.mda_variables import FormatError, FormatValues, expand_format, named_file

DEFAULT_PATH = "/usr/bin:/bin"
"""_PATH_DEFPATH of paths.h."""

PACKAGES = Path(smtpd.__file__).resolve().parent.parent
_OWN = ["/usr/bin/env", f"PYTHONPATH={PACKAGES}", sys.executable, "-P", "-m", "smtpd.delivery.wrapped"]


class CommandError(Exception):
    """The command cannot be run, and trying again would not help."""


class Runner(NamedTuple):
    """Who runs it: numbers to switch to (None: no switch) and the home."""

    uid: int | None
    gid: int | None
    directory: str


class CommandLine(NamedTuple):
    """The text for /bin/sh -c. `ours`: our own program delivers, inside of the wrapper."""

    text: str
    ours: bool


def command_line(config: Config, request: OpenCommand) -> CommandLine:
    """What to run. Raises CommandError; KeyError when the configuration has no such action.

    What is not a command is one inside of a wrapper: our own program (smtpd.delivery.wrapped) delivers.
    """
    action = config.actions[request.dispatcher]
    if not isinstance(action, LocalAction):
        raise CommandError(f'action "{action.name}" does not deliver locally')
    command = request.mda_exec or (action.argument if action.method == "mda" else "")
    delimiter = config.smtp.sub_addr_delim
    values = FormatValues(request.sender, request.rcpt, request.dest, request.username, request.directory)
    try:
        words = _own_words(action, request, values, delimiter) if action.wrapper else []
        if not (command or words):
            raise CommandError(f'action "{action.name}" has no command')
        command = shlex.join([*_OWN, *words]) if words else expand_format(command, values, delimiter)
        if action.wrapper:
            wrapper = config.mda_wrappers[action.wrapper]
            command = expand_format(wrapper, values._replace(mda=command), delimiter)
    except FormatError as error:
        raise CommandError(f"mda command line could not be expanded: {error}") from None
    return CommandLine(command, bool(words))


def _own_words(action: LocalAction, request: OpenCommand, values: FormatValues, delimiter: str) -> list[str]:
    """What our own program is told, [] where another does it. FormatError."""
    if request.mda_exec:
        path = named_file(request.mda_exec)
        return ["mboxfile", "-f", expand_format("%{mbox.from}", values, delimiter), path] if path else []
    if action.method == "maildir":
        folder = [expand_format(action.argument, values, delimiter)] if action.argument else []
        return ["maildir", *(["-j"] if action.junk else []), *folder]
    if action.method == "lmtp":
        destination = expand_format(action.argument, values, delimiter)
        return ["lmtp", "-d", destination, "-r" if action.rcpt_to else "-u"]
    return []


def environment(request: OpenCommand, directory: str) -> dict[str, str]:
    """The variables of smtpd.conf(5), "MDA COMMANDS", and no others."""
    variables = {
        "PATH": DEFAULT_PATH,
        "DOMAIN": request.rcpt.domain,
        "HOME": directory,
        "ORIGINAL_RECIPIENT": str(request.rcpt),
        "RECIPIENT": str(request.dest),
        "SHELL": "/bin/sh",
        "LOCAL": request.rcpt.user,
        "LOGNAME": request.username,
        "USER": request.username,
        "SENDER": str(request.sender) if request.sender.user else "",
    }
    if request.mda_subaddress:
        variables["EXTENSION"] = request.mda_subaddress
    return variables


class RunningCommand:
    """A started command.

    `input` and `output` are the ends for pony; whoever takes one sets it to -1. Our own copy of the
    command's end of the input stays open: what pony writes must not fail because the command was quicker
    than the message that tells pony where to write.
    """

    def __init__(self, line: str, variables: dict[str, str], runner: Runner) -> None:
        """fork and exec. Raises OSError, and ValueError for what no command line can hold (a NUL)."""
        self._input_end, self.input = os.pipe2(os.O_CLOEXEC)
        self.output, output_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.process = self._run(line, variables, runner, output_end)
            self.pidfd = os.pidfd_open(self.process.pid)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(output_end)

    def _run(
        self, line: str, variables: dict[str, str], runner: Runner, output_end: int
    ) -> subprocess.Popen[bytes]:
        directories = [runner.directory, "/"]
        while True:
            try:
                return subprocess.Popen(
                    ["/bin/sh", "-c", line],
                    stdin=self._input_end,
                    stdout=output_end,
                    stderr=output_end,
                    env=variables,
                    cwd=directories.pop(0),
                    user=runner.uid,
                    group=runner.gid,
                    extra_groups=None if runner.gid is None else [runner.gid],
                    umask=0o077,
                    start_new_session=True,
                )
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                if not directories:  # no home to stand in, as it happens; any other reason is there again
                    raise

    def kill(self, number: signal.Signals) -> None:
        """Signal the command and all of its process group."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def close(self) -> None:
        """Close what is still open."""
        for name in ("_input_end", "input", "output"):
            fd = getattr(self, name)
            setattr(self, name, -1)
            if fd != -1:
                os.close(fd)

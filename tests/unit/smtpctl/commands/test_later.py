"""smtpctl/commands/later.py."""

import subprocess
import sys

import pytest

from smtpctl.commands import queue
from smtpctl.commands.later import Topic
from smtpctl.commands.table import COMMANDS, load


def test_a_function_and_the_options_of_a_module() -> None:
    topic = Topic("queue")
    assert topic("show_queue").find() is queue.show_queue
    assert tuple(topic.options) == queue.OPTIONS
    assert topic.options[0] == queue.OPTIONS[0]
    assert topic.options[1:3] == queue.OPTIONS[1:3]


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError):
        Topic("queue")("hide_queue").find()
    with pytest.raises(ModuleNotFoundError):
        len(Topic("nothing").options)


def test_all_commands_can_be_found() -> None:
    load()
    for command in COMMANDS:
        assert callable(command.run.find()), command.pattern


def test_a_command_loads_nothing_that_it_does_not_need() -> None:
    script = "import sys; from smtpctl.__main__ import main; main(['show', 'stats']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"SMTPD_SOCKET": "/nonexistent/smtpd.sock"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    loaded = set(done.stdout.split())
    assert {"smtpctl.commands.stats", "smtpctl.client"} <= loaded
    assert not loaded & {
        "smtpctl.commands.queue", "smtpctl.offline", "smtpctl.see", "asyncio", "json", "ssl", "logging",
        "email", "difflib", "tempfile", "textwrap", "shutil", "argparse", "subprocess",
    }  # fmt: skip

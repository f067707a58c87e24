"""The manual pages in man/ against the programs: nothing is missing, and what they show works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tree

from smtpctl.commands.table import COMMANDS
from smtpctl.matching import Command
from smtpd.config.keywords import KEYWORDS
from smtpd.config.machine import FixedMachine
from smtpd.config.parse import Options, parse_text
from smtpd.mproc.log import SUBSYSTEMS
from smtpd.protocol import berkeley_hash

MAN = tree.ROOT / "man"
PAGES = sorted(MAN.iterdir())

FILES = {
    "/etc/mail/aliases": b"root: joe\n",
    "/etc/mail/secrets": b"provider user:password\n",
    "/etc/mail/domains.db": berkeley_hash.write([]),
    "/etc/mail/users.db": berkeley_hash.write([]),
}


def source(name: str) -> str:
    return (MAN / name).read_text()


def plain(name: str) -> str:
    """A page's source without macros: its words."""
    lines = [re.sub(r"^\.\w+ ", "", line) for line in source(name).splitlines()]
    text = " ".join(lines).replace("\\&", "").replace("\\(dq", '"').replace("Fl -", "--")
    return re.sub(r"\s+", " ", re.sub(r"\b(Ns|Ar|Cm|Ic|Op|Oo|Oc|Pf|Li|No|Fl) ", "", text))


def examples(name: str) -> list[str]:
    """The literal displays of a page."""
    found = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", source(name), re.M | re.S)
    return [text.replace("\\e", "\\").replace("\\&", "") for text in found]


def test_the_pages_that_have_to_be_there() -> None:
    assert [page.name for page in PAGES] == [
        "mailq.8",
        "makemap.8",
        "newaliases.8",
        "sendmail.8",
        "smtpctl.8",
        "smtpd.8",
        "smtpd.conf.5",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_well_formed(page: Path) -> None:
    if shutil.which("mandoc"):
        said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True).stdout
        assert not said, said
    elif shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-mandoc", "-Tutf8", "-z", "-wall", page], capture_output=True, text=True
        )
        assert not done.stderr, done.stderr
    else:
        pytest.skip("needs mandoc or groff")


def test_pages_are_installed() -> None:
    config = (tree.ROOT / "setup.cfg").read_text()
    for page in PAGES:
        assert f"man/{page.name}" in config


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if not each.hidden], ids=lambda command: command.pattern
)
def test_every_command_is_in_the_manual(command: Command) -> None:
    words = [word for word in command.pattern.split() if not word.startswith(("<", "-"))]
    found = [line for line in source("smtpctl.8").splitlines() if line.startswith(".It Ic ")]
    shown = [
        line.removeprefix(".It Ic ").replace("Ar id | Cm ", "").replace("Ar address Ic ", "")
        for line in found
    ]
    assert any(line.split()[: len(words)] == words for line in shown)


def test_the_options_of_show_queue_are_in_the_manual() -> None:
    (command,) = [each for each in COMMANDS if each.pattern == "show queue"]
    for option in command.options:
        assert re.search(rf"^\.It Fl -{option.name} ", source("smtpctl.8"), re.M), option.name


def test_every_subsystem_is_in_the_manual() -> None:
    text = plain("smtpctl.8")
    entry = text[text.index("Log what a subsystem does") :][:600]
    for subsystem in SUBSYSTEMS:
        assert re.search(rf"\b{subsystem}\b", entry), subsystem


@pytest.mark.parametrize("name", ["smtpd.conf.5", "makemap.8"])
def test_the_configurations_in_the_manual_work(name: str) -> None:
    machine = FixedMachine(files=FILES)
    tried = 0
    for text in examples(name):
        if "match " in text:
            tried += 1
            parse_text(text, options=Options(machine=machine, load=False))
    assert tried >= 1


def test_every_word_of_the_language_is_in_the_manual() -> None:
    """But for those that OpenSMTPD knows and its manual does not."""
    unsaid = {"data-line", "noop", "quit", "rset", "smtp-in", "smtp-out", "on", "alias", "any", "tagged"}
    unsaid |= {"bounce", "recipient", "group", "chroot"}
    text = plain("smtpd.conf.5")
    missing = {word for word in KEYWORDS - unsaid if not re.search(rf"(?<![\w-]){word}(?![\w-])", text)}
    assert not missing


@pytest.mark.parametrize(
    ("page", "options"),
    [
        ("smtpd.8", ["D", "d", "F", "f", "h", "n", "P", "T", "v", "-state"]),
        ("sendmail.8", ["bi", "bp", "bs", "F", "f", "N", "q", "R", "t", "V", "v"]),
        ("makemap.8", ["d", "o", "t", "U"]),
        ("newaliases.8", ["f"]),
    ],
)
def test_options_are_in_the_manual(page: str, options: list[str]) -> None:
    text = source(page)
    for option in options:
        assert re.search(rf"\bFl {re.escape(option)}\b", text), option

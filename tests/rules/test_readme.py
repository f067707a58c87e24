"""smtpd/README.md, the map that ships, tells what the code does: processes, links, the life of one mail."""

import re

import pytest
import tree

from imsg.message import kind_of
from smtpd.messages import links
from smtpd.messages.catalogue import CATALOGUE

README = (tree.ROOT / "smtpd/README.md").read_text()
KINDS = {kind.name: kind for kind in CATALOGUE.by_number.values()}
STEP = re.compile(r"^(\d+)\. (\w+) -> (\w+): (\w+)$", re.MULTILINE)


def section(title: str) -> str:
    """The text under `## title`, up to the next heading of that depth."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"smtpd/README.md has no section {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_processes_names_all_in_the_order_of_the_links() -> None:
    assert {row[0] for row in rows(section("Privileges"))} == set(links.PROCESSES)


@pytest.mark.parametrize("process", links.CHILDREN)
def test_a_process_card_agrees_with_the_table(process: str) -> None:
    row = next(row for row in rows(section("Privileges")) if row[0] == process)
    card = (tree.ROOT / f"smtpd/{process}/__init__.py").read_text()
    assert row[1] in card, f"smtpd/{process}/__init__.py does not name the user {row[1]}"


def test_the_links_are_the_links() -> None:
    written = set()
    for line in section("Links").splitlines():
        if line.startswith("- "):
            one, others = line.removeprefix("- ").split(":")
            written |= {frozenset((one.strip(), other.strip())) for other in others.split(",")}
    assert written == links.LINKS


def steps() -> list[tuple[int, str, str, str]]:
    found = STEP.findall(section("The life of one mail"))
    return [(int(number), sender, receiver, kind) for number, sender, receiver, kind in found]


def test_the_life_of_one_mail_is_numbered_and_made_of_real_messages() -> None:
    life = steps()
    assert len(life) > 10
    assert [number for number, *_ in life] == list(range(1, len(life) + 1))
    for number, sender, receiver, name in life:
        assert name in KINDS, f"step {number}: there is no message {name}"
        kind = KINDS[name]
        assert sender in kind.senders and receiver in kind.receivers, (
            f"step {number}: {name} does not go there"
        )


def test_every_request_in_it_gets_its_reply_later() -> None:
    life = steps()
    for number, sender, receiver, name in life:
        reply = KINDS[name].reply
        if reply is not None:
            answer = (receiver, sender, kind_of(reply).name)
            assert answer in [step[1:] for step in life[number:]], f"step {number}: {name} is never answered"


def test_every_folder_is_in_the_table_of_where_things_are() -> None:
    folders = {
        path.relative_to(tree.ROOT).parts[1] for path in tree.sources("smtpd") if path.parent.name != "smtpd"
    }
    named = set(re.findall(r"`(\w+)/`", section("Where to find a thing")))
    assert named == folders

"""A capture of a million messages: written, opened by tshark, by the page within three seconds, by what reads
traces; and smtpctl's memory has a bound. Minutes long: `tools/test -m soak tests/system/test_see_million.py`.
"""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chrome_trace as checker
import pytest
import tree
from browser import Browser, program
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.see.dissector import lua
from smtpctl.see.pcapng import CaptureWriter

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

MAILS = -(-1_000_000 // MESSAGES_OF_A_MAIL)
MESSAGES = MAILS * MESSAGES_OF_A_MAIL
MOST_MEMORY = 1000 << 20
"""Bytes that smtpctl may use for it."""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("million") / "capture.pcapng"
    with open(path, "wb", 1 << 20) as file:
        writer = CaptureWriter(file)
        for seen in Traffic().mails(MAILS):
            writer.write(seen)
        writer.finish(0)
    yield path
    shutil.rmtree(path.parent)


def shown(capture: Path, form: str) -> Path:
    """What `show flow all` writes, within the bound of memory."""
    path = capture.with_suffix(form)
    command = [sys.executable, "-m", "smtpctl", "show", "flow", "all", f"--read={capture}", f"--{form[1:]}"]
    with open(path, "wb") as out:
        subprocess.run(command, stdout=out, cwd=tree.ROOT, check=True, stdin=subprocess.DEVNULL)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MOST_MEMORY
    return path


def test_the_page_shows_its_first_part_within_three_seconds(capture: Path) -> None:
    if program() is None:
        pytest.skip("no Chromium: tools/system_needs installs it")
    page = shown(capture, ".html")
    with Browser() as browser:
        browser.open(page)
        browser.until("document.documentElement.dataset.shown", 60)
        assert int(browser.run("document.documentElement.dataset.shown")) < 3000
        browser.until("document.documentElement.dataset.complete", 120)
        assert browser.run("count()") == MESSAGES
        browser.run("pick(mails.length - 1)")
        assert browser.run("count()") == MESSAGES_OF_A_MAIL
        browser.run("pick(-1); goTo(count() - 30)")
        browser.until("state.drawn.some(([row]) => row > count() - 10)")
        assert (browser.errors, browser.asked) == ([], [])


def test_a_trace_of_it_is_one_that_others_take(capture: Path) -> None:
    trace = shown(capture, ".perfetto")
    with open(trace) as file:
        found = checker.check(file)
    # one message each of a mail goes to and comes from somebody without a tape, who has no track of its own
    arrows = (MESSAGES_OF_A_MAIL - 2) * MAILS
    assert found.phases["s"] == found.phases["f"] == arrows
    assert found.phases["X"] == 2 * arrows + 2 * MAILS
    trace.unlink()


def test_tshark_opens_it(capture: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("no tshark: tools/system_needs installs it")
    dissector = capture.with_suffix(".lua")
    dissector.write_text(lua())
    wanted = 'smtpd.kind == "CreateMessage" && smtpd.seen == "received"'
    command = ["tshark", "-X", f"lua_script:{dissector}", "-r", str(capture), "-q"]
    done = subprocess.run(
        [*command, "-z", f"io,stat,0,{wanted},smtpd.malformed"], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if "<>" in line and "|" in line][-1:]
    frames = [cell.split("|")[0].strip() for cell in line.split("|")]
    assert str(MAILS) in frames and frames.count("0") >= 2, done.stdout

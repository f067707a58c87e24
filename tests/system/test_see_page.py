"""The page of a capture in a real browser: pick, search, zoom, hide, click as a reader does; and with mails
in it that would rather run a script."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree
from browser import Browser, program
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.see.flow import join
from smtpctl.see.page_writer import write_page
from smtpctl.see.seen import Seen

SCREENSHOTS = tree.ROOT / ".cache/screenshots"
"""For whoever works on the page: what the last run of these tests has shown."""

HOSTILE = "<img/src=x/onerror=pwned=1>\"'</script><script>pwned=1</script><!--"
MAILS = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if program() is None:
        pytest.skip("no Chromium: tools/system_needs installs it")
    with Browser() as made:
        yield made


def sightings() -> list[Seen]:
    """Many mails, and a last one whose sender, client and home are hostile."""
    traffic = Traffic(handlers=False)
    found = list(traffic.mails(MAILS))
    traffic.now += 3_000_000_000
    found += traffic.mail(0xEEEEEEEE, 0xFFFF, f"{HOSTILE}@{HOSTILE}.test")
    return found


def shown(browser: Browser, path: Path, *, title: str = "smtpd: a test", pick: str = "") -> None:
    """Write the page and wait until all of it is there."""
    with open(path, "w") as file:
        write_page(file, join(sightings()), title, lost=3, pick=pick)
    browser.errors.clear()
    browser.open(path)
    browser.until("document.documentElement.dataset.complete")


def row_at(browser: Browser, row: int) -> tuple[float, float]:
    """Where a message is on the screen, in the middle of its arrow."""
    script = f"""(() => {{
        const i = at({row}), box = scroller.getBoundingClientRect();
        const middle = (columns[column.from[i]] + columns[column.to[i]]) / 2;
        return [box.left + middle, box.top + yOf({row}, i) - 4];
    }})()"""
    x, y = browser.run(script)
    return x, y


def details(browser: Browser) -> dict[str, str]:
    """The panel of the picked message: texts by what stands before them."""
    rows = "[...$('details').querySelectorAll('tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    return dict(browser.run(rows))


def click(browser: Browser, selector: str) -> None:
    """The mouse on the middle of an element."""
    find = f"document.querySelector({json.dumps(selector)})"
    x, y, width, height = browser.run(
        f"(() => {{ const b = {find}.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }})()"
    )
    browser.click(x + width / 2, y + height / 2)


def test_pick_search_zoom_hide_click(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path / "page.html")
    total = (MAILS + 1) * MESSAGES_OF_A_MAIL
    assert browser.run("$('summary').textContent").startswith(f"{total:,} messages, 3 lost, ")
    assert browser.run("count()") == total

    # a mail out of the list
    click(browser, "#mails .mail:nth-child(3)")
    browser.until(f"count() === {MESSAGES_OF_A_MAIL}")
    msgid = browser.run("mails[state.mail].id")
    assert browser.run("document.querySelector('.mail.picked b').textContent") == msgid

    # a message: its fields, the waiting, and the way to its reply and back
    browser.click(*row_at(browser, 2))
    browser.until("$('details').querySelector('h2')?.textContent === 'CreateMessage'")
    told = details(browser)
    assert told["session"] == "00abc00000000001" and told["in the socket"] == "50.0 µs"
    assert told["answered by"] == "MessageCreated" and told["reply time"] == "150 µs"
    click(browser, "#details a")
    browser.until("$('details').querySelector('h2').textContent === 'MessageCreated'")
    told = details(browser)
    assert told["msgid"] == msgid and told["replies to"] == "CreateMessage"
    browser.until(f"[...state.preview.values()].some((text) => text.includes('msgid={msgid}'))")
    browser.screenshot(tmp_path / "mail.png")

    # every process is in sight, whatever is beside them
    edges = "[...document.querySelectorAll('#processes button')].map((each) => each.getBoundingClientRect())"
    seen = f"{edges}.map((each) => each.right)"
    assert max(browser.run(seen)) <= browser.run("scroller.getBoundingClientRect().right")
    browser.run("pick(-1)")
    assert max(browser.run(seen)) <= browser.run("scroller.getBoundingClientRect().right")
    browser.run(f"pick(mails.findIndex((each) => each.id === '{msgid}'))")

    # a process less, and back
    buttons = "[...document.querySelectorAll('#processes button')].map((each) => each.textContent)"
    names: list[str] = browser.run(buttons)
    queue = f"#processes button:nth-child({names.index('queue') + 1})"
    click(browser, queue)
    ends = "[...state.rows].flatMap((i) => [column.from[i], column.to[i]]).map((each) => HEAD.ends[each])"
    left = set(browser.run(ends))
    assert "queue" not in left and {"pony", "lookup", "parent"} <= left
    assert browser.run(f"document.querySelector('{queue}').className") == "off"
    click(browser, queue)
    browser.until(f"count() === {MESSAGES_OF_A_MAIL}")

    # closer, and to scale
    before = browser.run("state.row")
    click(browser, "#in")
    assert browser.run("state.row") > before
    click(browser, "#out")
    assert browser.run("state.row") == pytest.approx(before)
    click(browser, "#scaled")
    wide = browser.run("state.perPixel")
    click(browser, "#in")
    assert browser.run("state.perPixel") < wide
    browser.screenshot(tmp_path / "time.png")
    click(browser, "#even")

    # search by sender, by session; all again
    for words in ("user7@", "00abc00000000007"):
        browser.run(f"$('search').value = {json.dumps(words)}; $('search').dispatchEvent(new Event('input'))")
        assert browser.run("shownMails.map((m) => mails[m].session)") == ["00abc00000000007"]
    click(browser, "#mails .mail:first-child")
    browser.until(f"count() === {total}")
    assert (browser.errors, browser.asked) == ([], [])
    keep(tmp_path)


def test_a_hostile_mail_is_text(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path / "page.html", title=HOSTILE, pick="eeeeeeee")
    elements = browser.run("document.querySelectorAll('script, style, img').length")
    assert browser.run("document.title") == HOSTILE == browser.run("document.querySelector('h1').textContent")
    browser.until(f"count() === {MESSAGES_OF_A_MAIL}")
    for row in range(MESSAGES_OF_A_MAIL):
        browser.run(f"choose(at({row}))")
        assert browser.run("window.pwned") is None
    browser.run("choose(at(4))")  # ExpandRecipient, with an envelope
    assert HOSTILE in details(browser)["envelope"]
    listed = "[...document.querySelectorAll('.mail small')].map((each) => each.textContent).join()"
    assert HOSTILE in browser.run(f"$('search').value = '<img'; search(); {listed}")
    assert browser.run("document.querySelectorAll('script, style, img').length") == elements
    browser.screenshot(tmp_path / "hostile.png")
    assert (browser.errors, browser.asked) == ([], [])
    keep(tmp_path)


def test_even_markup_that_got_in_would_do_nothing(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path / "page.html")
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    violations = browser.run(
        """new Promise((done) => {
            const seen = new Set();
            document.addEventListener("securitypolicyviolation", (event) => {
              seen.add(event.effectiveDirective);
              if (seen.size === 4) done([...seen].sort());
            });
            const add = (text) => document.body.insertAdjacentHTML("beforeend", text);
            add('<img src="http://127.0.0.1:PORT/x">');
            add('<p onclick="pwned=1" id="p">x</p>');
            document.getElementById("p").click();
            const script = document.createElement("script");
            script.textContent = "pwned=1";
            document.body.append(script);
            fetch("http://127.0.0.1:PORT/y").catch(() => 0);
        })""".replace("PORT", str(listening.getsockname()[1]))
    )
    assert violations == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert browser.run("window.pwned") is None
    with pytest.raises(BlockingIOError):
        listening.accept()
    listening.close()


def keep(folder: Path) -> None:
    """Put screenshots where a developer looks."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.png"):
        assert path.stat().st_size > 10_000
        path.replace(SCREENSHOTS / path.name)

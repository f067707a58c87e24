"""smtpctl/matching.py, with the whole table of smtpctl and with small ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.commands.table import COMMANDS, TABLE
from smtpctl.matching import Command, Match, NoMatch, Option, Parameter, Table, describe_option


def nothing(*_: object) -> int:
    return 0


def table(*patterns: str, own: tuple[str, ...] = ()) -> Table:
    commands = [Command(pattern, nothing, "") for pattern in patterns]
    return Table([*commands, *(Command(pattern, nothing, "", own=True) for pattern in own)])


def meant(text: str, within: Table = TABLE) -> str:
    return within.match(text.split()).command.pattern


def refused(text: str, within: Table = TABLE) -> NoMatch:
    with pytest.raises(NoMatch) as caught:
        within.match(text.split())
    return caught.value


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.pattern)
def test_every_command_is_found_by_its_own_words(command: Command) -> None:
    examples = {"<evpid>": "6c472de90a0b0c0d", "<msgid>": "6c472de9", "<str>": "imsg", "<words>": "show"}
    examples |= {"<addr>": "192.0.2.1", "<routeid>": "7"}
    words = [examples.get(token, token) for token in command.pattern.split()]
    assert TABLE.match(words).command is command


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("sh q", "show queue"),
        ("show queu", "show queue"),
        ("sh q 6c472de9", "show queue <msgid>"),
        ("m", "monitor"),
        ("l b", "log brief"),
        ("pa e a", "pause envelope all"),
        ("pa mt", "pause mta"),
        ("res s", "resume smtp"),
        ("rem a", "remove all"),
        ("sc a", "schedule all"),
        ("sh e 6C472DE90A0B0C0D", "show envelope <evpid>"),
        ("t all", "trace <str>"),
        ("unt imsg", "untrace <str>"),
    ],
)
def test_abbreviations(text: str, pattern: str) -> None:
    assert meant(text) == pattern


@pytest.mark.parametrize(
    ("text", "reason", "possibilities", "suggestions"),
    [
        ("", "no command given", None, []),
        ("show", "show: more words are needed", None, []),
        ("s", "s: ambiguous", ["schedule", "show", "spf"], []),
        ("re", "re: ambiguous", ["remove", "resume"], []),
        ("sh st", "show st: ambiguous", ["show stats", "show status"], []),
        ("show quee", "show quee: no such command", None, ["show queue"]),
        ("shwo queue", "shwo: no such command", None, ["show"]),
        ("zzz", "zzz: no such command", None, []),
        (
            "remove 123",
            "remove 123: '123' is no envelope id (16 hex digits) nor message id (8 hex digits)",
            ["remove <evpid>", "remove <msgid>", "remove all"],
            [],
        ),
        ("monitor now", "monitor now: nothing can follow 'monitor'", ["monitor"], []),
        ("log verbose please", "log verbose please: nothing can follow 'verbose'", ["log verbose"], []),
    ],
)
def test_what_is_said_when_nothing_fits(
    text: str, reason: str, possibilities: list[str] | None, suggestions: list[str]
) -> None:
    no_match = refused(text)
    assert no_match.reason == reason
    assert no_match.suggestions == suggestions
    assert no_match.possibilities
    if possibilities is not None:
        assert no_match.possibilities == possibilities


def test_ids_have_exactly_their_number_of_digits_and_are_not_zero() -> None:
    ids = table("do <evpid>", "do <msgid>")
    assert ids.match(["do", "6c472de9"]).parameters == (Parameter("msgid", 0x6C472DE9),)
    assert ids.match(["do", "6C472de90a0b0c0d"]).parameters == (Parameter("evpid", 0x6C472DE90A0B0C0D),)
    for bad in ("6c472de", "6c472de90", "00000000", "0" * 16, "6c472dex", "+c472de9", " c472de9", "", "-"):
        with pytest.raises(NoMatch):
            ids.match(["do", bad])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "routeid",
            {"1": 1, "9223372036854775807": 2**63 - 1},
            ["0", "-1", "9223372036854775808", "x", "1" * 99],
        ),
        ("int", {"-2147483648": -(2**31), "7": 7}, ["2147483648", "1.0", "", "--1", "１"]),
        (
            "addr",
            {"192.0.2.1": "192.0.2.1", "2001:DB8::1": "2001:db8::1"},
            ["192.0.2", "host", "[::1]", "::g"],
        ),
        ("str", {"any thing": "any thing", "": ""}, []),
    ],
)
def test_parameters(kind: str, good: dict[str, object], bad: list[str]) -> None:
    one = table(f"do <{kind}>")
    for text, value in good.items():
        assert one.match(["do", text]).parameters == (Parameter(kind, value),)
    for text in bad:
        with pytest.raises(NoMatch):
            one.match(["do", text])


def test_several_parameters() -> None:
    pause = table("pause mta", "pause mta from <addr> for <str>")
    assert pause.match(["p", "m", "f", "192.0.2.1", "fo", "example.org"]).parameters == (
        Parameter("addr", "192.0.2.1"),
        Parameter("str", "example.org"),
    )


def test_an_exact_word_wins_over_the_prefix_of_another() -> None:
    assert meant("show", table("show", "showers")) == "show"
    assert refused("sho", table("show", "showers")).possibilities == ["show", "showers"]


def test_our_own_words_do_not_make_theirs_ambiguous() -> None:
    both = table("encrypt", "show routes", "show queue", own=("explain <evpid>", "show recorder"))
    assert meant("e", both) == "encrypt"
    assert meant("show r", both) == "show routes"
    assert meant("show rec", both) == "show recorder"
    assert meant("ex 6c472de90a0b0c0d", both) == "explain <evpid>"
    assert refused("s r", table("a", own=("show ra", "show rb"))).possibilities == ["show ra", "show rb"]


def test_all_the_words_that_follow() -> None:
    helper = table("help", "help <words>")
    assert helper.match(["help"]).parameters == ()
    assert helper.match(["h", "show", "q"]).parameters == (Parameter("words", ("show", "q")),)


def test_options_stand_anywhere_and_may_be_abbreviated() -> None:
    option = Option("sender", "ADDRESS", "")
    within = Table(
        [Command("show queue", nothing, "", (option, Option("since", "AGE", ""), Option("x", "", "")))]
    )
    for text in ("show --sender=a@b queue", "show queue --send=a@b", "--sender=a@b s q"):
        assert within.match(text.split()) == Match(within.commands[0], (), {"sender": "a@b"})
    assert within.match(["show", "queue", "--x", "--sender=a=b"]).options == {"x": "", "sender": "a=b"}
    for text, problem in (
        ("--s=1", "ambiguous"),
        ("--sendre=1", "no such option"),
        ("--sender", "needs a value"),
        ("--x=1", "takes no value"),
        ("--=1", "no such option"),
    ):
        no_match = refused(f"show queue {text}", within)
        assert problem in no_match.reason
        assert "show queue --sender=ADDRESS" in no_match.possibilities
    assert refused("show queue --sendre=1", within).suggestions == ["--sender"]
    assert describe_option(option) == "--sender=ADDRESS"


def test_the_value_of_an_option_may_be_the_next_word() -> None:
    seconds, flag = Option("watch", "SECONDS", ""), Option("watch", "", "")
    sort = Option("sort", "FIELD", "")
    one = Table(
        [
            Command("show queue", nothing, "", (sort, seconds)),
            Command("show queue <msgid>", nothing, "", (sort, seconds)),
            Command("trace <str>", nothing, "", (flag,)),
            Command("explain <words>", nothing, ""),
        ]
    )
    for text in ("show queue --sort age", "s q --so age", "--sort age show queue", "show --sort=age queue"):
        assert one.match(text.split()) == Match(one.commands[0], (), {"sort": "age"})
    assert one.match("show queue --sort -age 6c472de9".split()).options == {"sort": "-age"}
    assert one.match("show queue --watch 5".split()).options == {"watch": "5"}
    assert one.match("trace --watch imsg".split()) == Match(
        one.commands[2], (Parameter("str", "imsg"),), {"watch": ""}
    )
    assert "needs a value" in refused("show queue --sort", one).reason
    assert "needs a value" in refused("show queue --sort --watch=5", one).reason
    assert "no such option" in refused("explain a@b --sort x", one).reason
    assert "no such command" in refused("nothing --sort age", one).reason
    assert one.following("show queue --sort age".split())[0] == "<msgid>"


def test_after_two_dashes_nothing_is_an_option() -> None:
    encrypt = table("encrypt", "encrypt <str>")
    assert encrypt.match(["encrypt", "--", "--json"]).parameters == (Parameter("str", "--json"),)
    assert refused("encrypt --json", encrypt).possibilities == ["encrypt"]


def test_a_wrong_table_is_refused() -> None:
    for patterns in (("show", "show"), ("show <nothing>",)):
        with pytest.raises(ValueError, match="show"):
            table(*patterns)


def test_what_begins_with_words_and_what_follows_them() -> None:
    assert [command.pattern for command in TABLE.beginning_with(["pause", "e"])] == [
        "pause envelope <evpid>",
        "pause envelope <msgid>",
        "pause envelope all",
    ]
    assert sorted(command.pattern for command in TABLE.beginning_with([])) == sorted(
        command.pattern for command in COMMANDS
    )
    with pytest.raises(NoMatch):
        TABLE.beginning_with(["zzz"])
    assert TABLE.following(["log"]) == ["brief", "verbose"]
    assert TABLE.following(["show", "queue"])[:2] == ["<msgid>", "--sender="]
    assert TABLE.following(["zzz"]) == []
    assert TABLE.following(["log", "brief", "x"]) == []


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_match_or_are_explained(words: list[str]) -> None:
    try:
        match = TABLE.match(words)
    except NoMatch as no_match:
        assert no_match.reason
        assert no_match.possibilities
    else:
        assert match.command in COMMANDS


@given(st.sampled_from(COMMANDS), st.data())
def test_any_prefix_means_the_word_or_is_ambiguous(command: Command, data: st.DataObject) -> None:
    words = command.pattern.split()
    if any(word.startswith("<") for word in words):
        return
    cut = [word[: data.draw(st.integers(1, len(word)))] for word in words]
    try:
        found = TABLE.match(cut).command
        # A whole word wins over a longer one ("hosts", "hoststats"), OpenSMTPD's command over one of our own.
        whole = any(word in cut for word in found.pattern.split()[1:])
        assert found is command or whole or (command.own and not found.own)
    except NoMatch as no_match:
        assert "ambiguous" in no_match.reason
        assert len(no_match.possibilities) > 1

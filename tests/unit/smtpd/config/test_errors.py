from smtpd.config.errors import ConfigError, ConfigErrors, did_you_mean


def test_place_caret_and_hint() -> None:
    error = ConfigError("f", 3, "bad", "tsl", 12, "listen on lo\ttsl", 4, 3, "did you mean?")
    assert str(error).splitlines() == [
        "f:3: bad",
        "    4 | listen on lo\ttsl",
        "      |            ^^^",
        "        did you mean?",
    ]


def test_tabs_before_the_caret_stay_tabs() -> None:
    assert str(ConfigError("f", 1, "bad", "x", 3, "\t x", 1)).splitlines()[2] == "      | \t ^"


def test_without_a_place() -> None:
    assert str(ConfigError("f", 0, "no rules")) == "f: no rules"


def test_long_line_is_cut_round_the_word() -> None:
    text = str(ConfigError("f", 1, "bad", "x", 5001, "a" * 5000 + "x" + "b" * 5000, 1))
    line, caret = text.splitlines()[1:]
    assert len(line) < 180
    assert line[caret.index("^")] == "x"


def test_what_cannot_be_printed_is_not() -> None:
    assert "\x1b" not in str(ConfigError("f", 1, "bad", "x", 2, "\x1b[31mx\udcff", 1))
    error = ConfigError("a\nb", 1, "no such table: \r\x1b\udcff", hint="\x85")
    assert str(error).splitlines() == ["a\\nb:1: no such table: \\r\\x1b\\udcff", "        \\x85"]


def test_all_faults_are_in_the_text() -> None:
    errors = ConfigErrors([ConfigError("f", 1, "one"), ConfigError("f", 2, "two")])
    assert [error.line for error in errors.errors] == [1, 2]
    assert str(errors) == "f:1: one\nf:2: two"


def test_did_you_mean() -> None:
    known = {"listen", "match", "tls", "maildir"}
    assert did_you_mean("lisen", known) == 'did you mean "listen"?'
    assert did_you_mean("tsl", known) == 'did you mean "tls"?'
    assert did_you_mean("MATCH", known) == 'did you mean "match"?'
    assert did_you_mean("mildri", known) == 'did you mean "maildir"?'
    assert did_you_mean("frobnicate", known) == ""
    assert did_you_mean("", known) == ""
    assert did_you_mean("x" * 100, known) == ""
    assert did_you_mean("tls", {"tls"}) == ""

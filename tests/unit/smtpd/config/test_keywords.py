from smtpd.config.grammar import STATEMENT
from smtpd.config.keywords import KEYWORDS, STATEMENTS


def test_every_word_of_the_language_is_there() -> None:
    assert len(KEYWORDS) == 101
    assert {"listen", "data-line", "tagged", "proxy-v2", "recipient"} <= KEYWORDS
    assert not {"reject-code", "max-session", "file", "db"} & KEYWORDS


def test_statements_have_productions() -> None:
    assert STATEMENTS == STATEMENT.keys()
    assert STATEMENTS < KEYWORDS

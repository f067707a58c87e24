import pytest

from smtpd.config.names import domain_name


@pytest.mark.parametrize("text", ["a", "a.b", "a.", "a-.b", "a.-b", "_a.b", "4.example", "", ".", "a" * 63])
def test_good(text: str) -> None:
    assert domain_name(text)


@pytest.mark.parametrize(
    "text", ["a..b", "-a", ".a", "..", "a b", "ä", "a" * 64, "a/b", ".".join(["a" * 63] * 4), "a\\.b"]
)
def test_bad(text: str) -> None:
    assert not domain_name(text)

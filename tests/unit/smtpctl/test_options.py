"""smtpctl/options.py."""

import pytest

from smtpctl.options import UsageError, take_options


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ([], None, False)),
        (["show", "queue"], (["show", "queue"], None, False)),
        (["--state", "a", "show", "--json", "queue"], (["show", "queue"], "a", True)),
        (["show", "--state=a=b"], (["show"], "a=b", False)),
        (["--state", "a", "--state", "b"], ([], "b", False)),
        (["explain", "--", "--json", "--state"], (["explain", "--", "--json", "--state"], None, False)),
        (["show", "queue", "--sort", "created"], (["show", "queue", "--sort", "created"], None, False)),
    ],
)
def test_wherever_they_stand(words: list[str], found: tuple[list[str], str | None, bool]) -> None:
    assert take_options(words) == found


def test_a_folder_is_needed() -> None:
    with pytest.raises(UsageError, match="--state needs a folder"):
        take_options(["show", "--state"])

"""smtpd/lookup/users.py: the caller under any name."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.lookup.expansion import UserInfo
from smtpd.lookup.users import CallerUsers


@pytest.mark.parametrize("name", ["alice", "a.b-c+d_e", "A", "_x", "9", "x" * 64])
def test_the_caller(name: str) -> None:
    expected = UserInfo(name, os.geteuid(), os.getegid(), f"/state/home/{name}")
    assert CallerUsers("/state/home").find(name) == expected


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/", "-x", "+x", ".x", "a b", "a\n", "a\0", "ä", "x" * 65, "\udcff", "٣"],
)
def test_what_could_be_no_name(name: str) -> None:
    assert CallerUsers("/state/home").find(name) is None


@given(st.text("ab./\\-_+ \n\0~ä", max_size=8))
def test_nobody_leaves_the_state_folder(name: str) -> None:
    found = CallerUsers("/state/home").find(name)
    if found is not None:
        assert os.path.dirname(os.path.normpath(found.directory)) == "/state/home"
        assert found.username == name

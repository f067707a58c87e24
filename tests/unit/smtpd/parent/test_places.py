"""smtpd/parent/places.py: where things lie and who runs what, for each way to run."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from smtpd.config.parse import parse_file
from smtpd.messages.links import CHILDREN
from smtpd.parent import places as places_module
from smtpd.parent.places import (
    ALONE_VARIABLE,
    CALLER,
    CONFIGURATIONS,
    Identity,
    PlacesError,
    find_configuration,
    find_places,
)

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Who we are, and whether the users are there."""

    def make(*, root: bool, users: bool = True, alone: str = "") -> None:
        def getpwnam(name: str) -> SimpleNamespace:
            if not users or name not in ("_smtpd", "_smtpq"):
                raise KeyError(f"getpwnam(): name not found: {name!r}")
            number = {"_smtpd": 900, "_smtpq": 901}[name]
            return SimpleNamespace(pw_uid=number, pw_gid=number + 10)

        monkeypatch.setattr(places_module.os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(places_module.pwd, "getpwnam", getpwnam)
        monkeypatch.setenv(ALONE_VARIABLE, alone)

    return make


# separated


def test_a_machine_of_its_own(machine: Machine) -> None:
    machine(root=True)
    places = find_places(None)
    assert places.separated and places.homes == ""
    assert (places.spool, places.socket, places.empty) == (
        Path("/var/spool/smtpd"), Path("/var/run/smtpd.sock"), Path("/var/empty"),
    )  # fmt: skip
    assert {name: places.root_of(name) for name in CHILDREN} == {
        "control": "/var/empty",
        "lookup": "/",  # the one that reads files
        "pony": "/var/empty",
        "queue": "/var/spool/smtpd",
        "scheduler": "/var/empty",
    }
    assert {name: places.identity_of(name) for name in CHILDREN} == {
        name: Identity(901, 911) if name == "queue" else Identity(900, 910) for name in CHILDREN
    }


def test_separated_in_a_state_folder(machine: Machine, tmp_path: Path) -> None:
    machine(root=True)
    places = find_places(str(tmp_path))
    assert places.separated and places.homes == ""
    for path in (places.spool, places.socket, places.empty, places.crashes):
        assert path.is_relative_to(tmp_path)
    assert places.user == Identity(900, 910) and places.queue_user == Identity(901, 911)
    assert places.root_of("lookup") == "/"


def test_root_without_the_users(machine: Machine, tmp_path: Path) -> None:
    machine(root=True, users=False)
    with pytest.raises(PlacesError, match="_smtpd.*: create the users _smtpd and _smtpq"):
        find_places(None)
    assert not find_places(str(tmp_path)).separated


# alone


@pytest.mark.parametrize(("root", "alone"), [(False, ""), (False, "0"), (True, "1"), (False, "1")])
def test_alone(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool, alone: str
) -> None:
    machine(root=root, alone=alone)
    with pytest.raises(PlacesError, match="need root, or --state DIR"):
        find_places(None)
    places = find_places(str(tmp_path))
    assert not places.separated and places.homes == f"{tmp_path}/home"
    for path in (places.spool, places.socket, places.empty, places.crashes, Path(places.homes)):
        assert path.is_relative_to(tmp_path), "nothing outside of the state folder"
    for name in CHILDREN:
        assert places.identity_of(name) == CALLER == Identity(-1, -1)
        assert places.root_of(name) == str(places.spool if name == "queue" else places.empty)


@pytest.mark.parametrize("alone", ["", "0", "yes"])
def test_only_one_value_makes_root_alone(machine: Machine, tmp_path: Path, alone: str) -> None:
    machine(root=True, alone=alone)
    assert find_places(str(tmp_path)).separated


def test_a_state_folder_is_absolute(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(root=False)
    monkeypatch.chdir(tmp_path)
    assert find_places("state").spool == tmp_path / "state" / "spool"
    assert os.listdir(tmp_path) == [], "finding makes nothing"


def test_users_of_this_machine() -> None:
    """The real look-up, whatever is there."""
    try:
        expected = pwd.getpwnam("_smtpd").pw_uid
    except KeyError:
        pytest.skip("no user _smtpd here")
    if os.geteuid() != 0:
        pytest.skip("not root")
    assert find_places("/nowhere").user.uid == expected


# the configuration


def test_the_one_asked_for(tmp_path: Path) -> None:
    assert find_configuration("some.conf", str(tmp_path)) == Path("some.conf")
    assert os.listdir(tmp_path) == []


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "smtpd.conf", tmp_path / "mail.conf"
    monkeypatch.setattr(places_module, "CONFIGURATIONS", (one, two))
    assert find_configuration(None, None) == one
    two.write_text("")
    assert find_configuration(None, None) == two
    one.write_text("")
    assert find_configuration(None, None) == one
    assert CONFIGURATIONS == (Path("/etc/smtpd.conf"), Path("/etc/mail/smtpd.conf"))


def test_the_one_of_a_state_folder(tmp_path: Path) -> None:
    """Made at first, and never overwritten."""
    state = tmp_path / "not" / "there" / "yet"
    path = find_configuration(None, str(state))
    assert path == state / "smtpd.conf"
    config = parse_file(str(path))
    assert [(address.address, address.port) for address in config.listeners[0].addresses] == [
        ("127.0.0.1", 2525)
    ]
    path.write_text("# mine\n")
    assert find_configuration(None, str(state)) == path and path.read_text() == "# mine\n"


def test_a_check_makes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert find_configuration(None, str(state), make=False) == state / "smtpd.conf"
    assert not state.exists()

"""What root's daemon gives up: users, roots, capabilities; and the same daemon started without any rights."""

import os
from pathlib import Path

import family
import private_users
import pytest
from daemon import LOCAL, USER_ID, Daemon, body_of

from smtpd.messages import links

SMTPD, SMTPQ = (user.number for user in private_users.DAEMON_USERS)

pytestmark = pytest.mark.usefixtures("privileged")


@pytest.fixture
def started(daemon) -> Daemon:
    return daemon(LOCAL, mode="privileged")


def children(one: Daemon) -> dict[str, int]:
    return {name: one.child(name) for name in links.CHILDREN}


def test_six_processes_each_under_its_user(started) -> None:
    titles = started.processes()
    assert len(titles) == 6, titles
    assert family.status(started.pid)["Uid"].split() == ["0"] * 4
    for name, pid in children(started).items():
        user = str(SMTPQ if name == "queue" else SMTPD)
        status = family.status(pid)
        assert status["Uid"].split() == [user] * 4, name
        assert status["Gid"].split() == [user] * 4, name
        assert status["Groups"].split() in ([], [user]), name


def test_no_child_has_a_capability_or_may_get_one(started) -> None:
    for name, pid in children(started).items():
        status = family.status(pid)
        for key in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[key], 16) == 0, f"{name}: {key}"
        assert status["NoNewPrivs"] == "1", name
    assert int(family.status(started.pid)["CapEff"], 16) != 0


def test_roots_are_empty_folders_and_the_spool(started) -> None:
    for name, pid in children(started).items():
        root = Path(f"/proc/{pid}/root")
        match name:
            case "lookup":
                assert os.readlink(root) == "/"
            case "queue":
                assert os.readlink(root) == str(started.state / "spool")
            case _:
                assert os.readlink(root) != "/", name
                assert list(root.iterdir()) == [], name
                folder = root.stat()
                assert (folder.st_uid, folder.st_mode & 0o022) == (0, 0), f"{name} can write its root"


def test_no_child_holds_a_file_it_has_no_use_for(started) -> None:
    for name, pid in children(started).items():
        if name in ("queue", "lookup"):
            continue
        held = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        files = [place for place in held if place.startswith("/") and not place.startswith("/memfd:smtpd-")]
        # Standard input, the test's log on standard error, a spare descriptor on the empty folder.
        known = {"/dev/null", str(started.log_file), os.readlink(f"/proc/{pid}/root")}
        assert set(files) <= known, f"{name}: {files}"


def test_a_mail_is_delivered_by_its_user(started) -> None:
    sent = started.send("a@source.test", "alice@localhost")
    (got,) = started.mails("alice")
    assert body_of(got) == body_of(sent)
    (file,) = (started.maildir("alice") / "new").iterdir()
    for path in (file, file.parent, file.parent.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (USER_ID, USER_ID)
        assert path.stat().st_mode & 0o077 == 0
    started.wait_empty()


def test_a_command_runs_as_its_user(daemon) -> None:
    conf = LOCAL.replace(
        'local" maildir',
        'local" mda "id > id.tmp; cat > got; grep -h . /proc/self/status >> id.tmp; mv id.tmp id"',
    )
    one = daemon(conf, mode="privileged")
    one.send("a@source.test", "alice@localhost")
    one.wait_empty()
    said = (one.folder / "home/id").read_text()
    assert f"uid={USER_ID}(alice) gid={USER_ID}(alice)" in said
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in said.splitlines())}
    assert status["Uid"].split() == [str(USER_ID)] * 4
    assert int(status["CapEff"], 16) == 0


def test_mail_for_a_user_that_is_none_is_refused(started) -> None:
    with started.smtp() as client:
        client.ehlo()
        client.mail("a@source.test")
        assert client.rcpt("nobody-here@localhost")[0] == 550
        # The superuser gets no mail: deliveries run as the user.
        assert client.rcpt("_smtpd@localhost")[0] in (250, 550)


def test_the_spool_belongs_to_its_user(started) -> None:
    started.ctl("pause", "mda")
    started.send("a@source.test", "alice@localhost")
    files = list((started.state / "spool/queue").rglob("*"))
    assert len(files) == 4
    for path in files:
        assert path.stat().st_uid == SMTPQ, path
        assert path.stat().st_mode & 0o077 == 0, path
    started.ctl("resume", "mda")
    started.mails("alice")


def test_it_goes_on_as_somebody_without_rights(daemon) -> None:
    one = daemon(LOCAL, mode="unprivileged")
    titles = one.processes()
    assert len(titles) == 6, titles
    for title, pid in titles.items():
        status = family.status(pid)
        assert status["Uid"].split() == [str(USER_ID)] * 4, title
        assert int(status["CapEff"], 16) == 0, title
    for name, pid in children(one).items():
        assert family.status(pid)["NoNewPrivs"] == "1", name
    sent = one.send("a@source.test", "you@localhost")
    (got,) = one.mails("you")
    assert body_of(got) == body_of(sent)
    assert "run as root" not in one.log()

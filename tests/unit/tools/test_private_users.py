"""Users that exist in copies of passwd and group only."""

from pathlib import Path

import private_users


def test_users_are_added_and_the_rest_is_kept(tmp_path) -> None:
    user = private_users.User("somebody", 60000, Path("/home/bench"))
    passwd, group = private_users.write(tmp_path / "etc", (user, *private_users.DAEMON_USERS))
    lines = passwd.read_text().splitlines()
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("_smtp")]
    assert lines[: len(others)] == others
    assert "somebody:x:60000:60000::/home/bench:/bin/sh" in lines
    assert "somebody:x:60000:" in group.read_text().splitlines()
    assert [line.partition(":")[0] for line in lines[len(others) :]] == ["somebody", "_smtpd", "_smtpq"]
    assert passwd.stat().st_mode & 0o777 == 0o644


def test_a_user_of_that_name_is_replaced(tmp_path) -> None:
    passwd, _ = private_users.write(tmp_path, (private_users.User("root", 7),))
    roots = [line for line in passwd.read_text().splitlines() if line.startswith("root:")]
    assert roots == ["root:x:7:7::/nonexistent:/bin/sh"]

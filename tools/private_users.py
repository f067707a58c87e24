"""passwd(5) and group(5) of one's own: users that exist for one daemon, in a mount namespace, nowhere else.

Whoever starts the daemon lays the files over /etc/passwd and /etc/group there.
"""

from pathlib import Path
from typing import NamedTuple

FIRST_ID = 60123
"""Above what people and packages get, below nobody's."""


class User(NamedTuple):
    """A user; the group has the same name and number."""

    name: str
    number: int
    home: Path = Path("/nonexistent")


DAEMON_USERS = (User("_smtpd", FIRST_ID + 1), User("_smtpq", FIRST_ID + 2))
"""Those that the daemon gives its rights up to."""


def write(folder: Path, users: tuple[User, ...]) -> tuple[Path, Path]:
    """Copies of /etc/passwd and /etc/group in `folder`, with `users` in place of any of the same names."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _copy(
            folder, "passwd", [f"{one.name}:x:{one.number}:{one.number}::{one.home}:/bin/sh" for one in users]
        ),
        _copy(folder, "group", [f"{one.name}:x:{one.number}:" for one in users]),
    )


def _copy(folder: Path, name: str, lines: list[str]) -> Path:
    replaced = tuple(line.partition(":")[0] + ":" for line in lines)
    kept = [line for line in Path("/etc", name).read_text().splitlines() if not line.startswith(replaced)]
    copy = folder / name
    copy.write_text("\n".join([*kept, *lines]) + "\n")
    copy.chmod(0o644)
    return copy

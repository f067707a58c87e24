"""What lies in a spool on disk, below its folder."""

from pathlib import Path


def files(root: Path) -> set[str]:
    """Every file, as a path below the spool, but what purge/ keeps for the next message or start."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith("purge/")}


def folder(evpid: int) -> str:
    """Of a queued envelope, and its message."""
    name = f"{evpid:016x}"
    return f"queue/{name[:2]}/{name[:8]}"

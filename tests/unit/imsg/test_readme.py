"""imsg/README.md: its example runs as it stands, with either core, and its list of files is whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "imsg"
TEXT = (PACKAGE / "README.md").read_text()


def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    return str(code)


def test_the_example_is_short() -> None:
    assert len(example().splitlines()) <= 45


@pytest.mark.parametrize("pure", ["0", "1"])
def test_the_example_runs(pure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("hello")  # what is printed cuts long values
    file.write_text("hello from a descriptor\n")
    code = example().replace("/etc/hostname", str(file))
    environment = os.environ | {"IMSG_PURE": pure, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"server got Open path={file}",
        "client read hello from a descriptor",
    ]


def test_every_file_is_listed() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.name != "__init__.py":
            assert f"`{path.name}`" in TEXT


def test_the_package_imports_nothing_of_the_daemon() -> None:
    show = (
        "import sys, imsg; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('smtpd', 'smtpctl')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""

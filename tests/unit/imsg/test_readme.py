"""imsg/README.md: its example runs as it stands, with either core, and its list of files is whole."""

import os
import re
import subprocess
import sys
import zipfile
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


@pytest.mark.system  # it runs a compiler
@pytest.mark.timeout(180)
def test_its_wheel_is_enough_by_itself(tmp_path: Path) -> None:
    root = PACKAGE.parent
    subprocess.run([str(root / "tools/imsg_wheel"), str(tmp_path)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("imsg-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(tmp_path / "there")
    assert not [name for name in names if not name.startswith(("imsg/", "imsg-"))]
    assert {"imsg/README.md", "imsg/py.typed"} <= set(names)
    hello = tmp_path / "hello"
    hello.write_text("hello from a descriptor\n")
    alone = f"""
import importlib.util, sys
others = [place for place in sys.path if place not in ("", {str(root)!r})]
sys.path[:] = [{str(tmp_path / "there")!r}, *others]
assert importlib.util.find_spec("smtpd") is None and importlib.util.find_spec("smtpctl") is None
import imsg
assert imsg.__file__.startswith({str(tmp_path)!r})
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", alone + example().replace("/etc/hostname", str(hello))],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "client read hello from a descriptor"

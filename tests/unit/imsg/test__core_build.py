"""imsg/_core_build.py and csrc/: the C core compiles without a warning, and the build is allowed to fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "imsg"
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wvla",
    "-Werror",
]
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="NO C COMPILER: the C core is not checked"
)


@needs_compiler
def test_sources_compile_without_a_warning() -> None:
    sources = sorted(str(path) for path in (PACKAGE / "csrc").glob("*.c"))
    command = ["cc", "-std=gnu11", "-O2", *WARNINGS, "-fsyntax-only", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_source_is_built() -> None:
    text = (PACKAGE / "_core_build.py").read_text()
    for path in (PACKAGE / "csrc").glob("*.c"):
        assert f'"{path.name}"' in text


def test_no_compiler_is_an_exit_status_not_a_traceback(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "imsg", ignore=shutil.ignore_patterns("_core.*", "__pycache__"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "imsg" / "_core_build.py")],
        env={"PATH": str(tmp_path), "CC": str(tmp_path / "no-cc"), "LDSHARED": str(tmp_path / "no-cc")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the C core was not built" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "imsg").glob("*.so"))

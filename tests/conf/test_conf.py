"""Small configurations, one production or one fault each: the normalized dump or the places of the faults.

`cases/NAME.conf` goes with `NAME.dump` (what it is when normalized) or `NAME.errors` (a line `LINE:COLUMN:
message` for each fault, in front of it the file's name if it is an included one). `@DIR@` is the folder of
the files that conftest.py makes, `@FILE@` the configuration itself.

Where an OpenSMTPD is installed (or SMTPD_ORACLE names its smtpd), it must be of the same opinion, and name
the same line first, but for the known differences.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smtpd.config import wire
from smtpd.config.dump import MASK, dump
from smtpd.config.errors import ConfigErrors
from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config
from smtpd.config.parse import Options, parse_file, parse_text

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.conf"))
ORACLE = os.environ.get("SMTPD_ORACLE") or shutil.which("smtpd", path="/usr/sbin:/usr/local/sbin")
OPTIONS = Options(machine=FixedMachine())


@pytest.fixture(scope="module")
def written(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all cases, their names filled in."""
    folder = tmp_path_factory.mktemp("cases")
    for case in CASES:
        place = folder / case.name
        text = case.read_bytes().replace(b"@DIR@", os.fsencode(files)).replace(b"@FILE@", os.fsencode(place))
        place.write_bytes(text)
    return folder


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path, written: Path, files: Path) -> None:
    path = str(written / case.name)
    try:
        config = parse_file(path, options=OPTIONS)
    except ConfigErrors as errors:
        told = [
            f"{'' if error.file == path else error.file + ':'}{error.line}:{error.column}: {error.message}"
            for error in errors.errors
        ]
        text = "".join(line + "\n" for line in told).replace(path, "@FILE@").replace(str(files), "@DIR@")
        assert text == _read(case.with_suffix(".errors"))
    else:
        text = dump(config, secrets=True)
        assert text.replace(str(files), "@DIR@") == _read(case.with_suffix(".dump"))
        _check_dump_reads_back(config, text)


def _check_dump_reads_back(config: Config, text: str) -> None:
    again = parse_text(text, options=OPTIONS)
    assert again == config
    assert dump(again, secrets=True) == text
    assert wire.loads(Config, wire.dumps(config)) == config
    masked = dump(config)
    shown = dump(parse_text(masked, options=OPTIONS))
    assert shown == masked
    for secret in (config.queue.key, config.srs.key, config.srs.key_backup):
        assert len(secret) < 8 or secret not in masked.replace(MASK, "")


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 250
    for case in CASES:
        assert case.with_suffix(".dump").exists() != case.with_suffix(".errors").exists(), case.name
    expected = {path.stem for path in (HERE / "cases").iterdir() if path.suffix != ".conf"}
    assert expected == {case.stem for case in CASES}


def _differences() -> Iterator[tuple[str, str]]:
    for line in _read(HERE / "differences.txt").splitlines():
        if line and not line.startswith("#"):
            name, which, reason = (part.strip() for part in line.split("|"))
            assert which in ("6.8", "7.8", "all") and reason, line
            yield name, which


def _oracle_differs() -> frozenset[str]:
    assert ORACLE is not None
    version = subprocess.run([ORACLE, "-h"], capture_output=True, text=True, timeout=30).stderr
    here = "6.8" if "OpenSMTPD 6." in version else "7.8"
    return frozenset(name for name, which in _differences() if which in ("all", here))


def test_differences_name_cases() -> None:
    names = [name for name, _ in _differences()]
    assert len(names) == len(set(names))
    assert set(names) <= {case.stem for case in CASES}


def _asked(path: str) -> tuple[bool, tuple[str, str] | None]:
    """Whether OpenSMTPD accepts a file, and the first place that it names."""
    assert ORACLE is not None
    command = [ORACLE, "-n", "-f", path]
    run = subprocess.run(command, capture_output=True, timeout=30, stdin=subprocess.DEVNULL, check=False)
    said = run.stderr.decode("utf-8", "surrogateescape")
    place = re.search(r"^(\S+):([0-9]+): ", said, re.MULTILINE)
    return run.returncode == 0, (place[1], place[2]) if place is not None else None


@pytest.mark.skipif(ORACLE is None, reason="no OpenSMTPD is installed here")
def test_opensmtpd_agrees(written: Path, files: Path) -> None:
    known = _oracle_differs()
    # OpenSMTPD wants root to own keys.
    cases = [case for case in CASES if os.getuid() == 0 or b"pki" not in case.read_bytes()]
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(_asked, [str(written / case.name) for case in cases])
    wrong = []
    for case, (accepted, place) in zip(cases, answers, strict=True):
        expected = case.with_suffix(".errors")
        same = accepted != expected.exists()
        if same and place is not None:
            first = re.match(r"(?:(.*):)?([0-9]+):[0-9]+: ", _read(expected))
            assert first is not None
            ours = (first[1] or str(written / case.name)).replace("@DIR@", str(files))
            same = (ours, first[2]) == place
        if same == (case.stem in known):
            wrong.append(f"{case.stem}: {'no longer different' if same else (accepted, place)}")
    assert wrong == []

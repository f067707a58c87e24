"""tools/postfix.py: what it writes; that Postfix runs with it is seen in tests/system."""

from pathlib import Path

import postfix
import pytest


def unpacked(folder: Path) -> postfix.Unpacked:
    (folder / "usr/sbin").mkdir(parents=True)
    (folder / "usr/sbin/smtp-source").touch()
    return postfix.Unpacked(folder)


def test_unpacked_programs_find_their_libraries(tmp_path: Path) -> None:
    found = unpacked(tmp_path)
    assert found.source == str(tmp_path / "usr/sbin/smtp-source")
    assert found.environment == {"LD_LIBRARY_PATH": str(tmp_path / "usr/lib/postfix")}


def test_neither_unpacked_nor_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postfix.shutil, "which", lambda name, path: None)
    with pytest.raises(FileNotFoundError, match="tools/system_needs"):
        postfix.Unpacked(tmp_path)


@pytest.mark.root
def test_an_instance_has_its_settings_and_services(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    one = postfix.Instance(unpacked(tmp_path / "unpacked"), folder, 2525, {"relayhost": "x", "biff": "yes"})
    settings = dict(line.split(" = ") for line in (folder / "main.cf").read_text().splitlines())
    assert settings["queue_directory"] == str(folder / "spool")
    assert (settings["relayhost"], settings["biff"]) == ("x", "yes")
    assert (folder / "spool/maildrop").stat().st_mode & 0o7777 == 0o1730
    assert one.command()[-1] == str(folder)

    def services() -> list[str]:
        return [line.split()[0] for line in (folder / "master.cf").read_text().splitlines()]

    assert services()[0] == "2525" and "qmgr" in services()
    one.set_services("qmgr")
    assert services()[0] == "2525" and "qmgr" not in services()

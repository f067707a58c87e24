"""smtpd/parent/configuration.py: the text in a descriptor that nobody can change."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from smtpd.config.dump import dump
from smtpd.config.model import Config, QueueSettings, SrsSettings
from smtpd.messages.parent_control import ConfigurationText, GetConfigurationText
from smtpd.parent import configuration as configuration_module

CONFIG = Config(
    hostname="mx.example",
    queue=QueueSettings(encryption=True, key="topsecret"),
    srs=SrsSettings(key="srssecret"),
    mda_wrappers={"w": "nice %{mda}"},
)


def asked(family: Any) -> Any:
    """What control is answered."""
    control = family.children["control"]
    control.say(GetConfigurationText())
    family.run_until(lambda: control.of(ConfigurationText))
    return control


def test_the_text(make_family: Callable[..., Any]) -> None:
    family = make_family(CONFIG)
    family.start()
    control = asked(family)
    assert control.of(ConfigurationText)[0].error == ""
    fd = control.fd(ConfigurationText)
    text = os.pread(fd, 1 << 16, 0).decode()
    assert text == dump(CONFIG)
    assert "nice %{mda}" in text and "secret" not in text
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)


def test_no_memory(make_family: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, data: bytes) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    family = make_family(CONFIG)
    family.start()
    monkeypatch.setattr(configuration_module, "sealed", refuse)
    control = asked(family)
    assert "Too many open files" in control.of(ConfigurationText)[0].error
    assert all(fd is None for message, fd in control.heard if isinstance(message, ConfigurationText))

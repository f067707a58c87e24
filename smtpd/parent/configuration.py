"""The part of parent that shows the configuration, which nobody else has whole (`smtpctl show config`)."""

from typing import TYPE_CHECKING

from smtpd.config.dump import dump
from smtpd.messages.parent_control import ConfigurationText, GetConfigurationText
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .sealed import sealed

if TYPE_CHECKING:
    from .process import Process


class Configuration:
    """Answers with the text in a sealed memfd: it has no bound that a message would have."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(GetConfigurationText)
    def get_configuration_text(
        self, peer: Peer, reqid: int, message: GetConfigurationText
    ) -> ConfigurationText | None:
        """The configuration in force, secrets masked."""
        text = dump(self._process.config).encode("utf-8", "surrogateescape")
        try:
            fd = sealed("smtpd-configuration", text)
        except OSError as error:
            return ConfigurationText(reqid, f"no memory for the configuration: {error.strerror}")
        peer.send(ConfigurationText(reqid, ""), fd)
        return None

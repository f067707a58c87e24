"""parent and control: the control socket, the configuration for show config (numbers 0x02xx, first half)."""

from typing import NamedTuple

from imsg.message import U32, message

from .links import CONTROL, PARENT


@message(0x0201, PARENT, CONTROL, descriptor=True)
class ControlSocket(NamedTuple):
    """The listening unix socket that smtpctl connects to."""

    path: str


@message(0x0202, PARENT, CONTROL, descriptor="optional")
class ConfigurationText(NamedTuple):
    """Reply to GetConfigurationText. The descriptor is a sealed memfd with the text; none with an `error`."""

    reqid: U32
    error: str


@message(0x0203, CONTROL, PARENT, reply=ConfigurationText)
class GetConfigurationText(NamedTuple):
    """The configuration in force as normalized smtpd.conf(5), without its secrets."""

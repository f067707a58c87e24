"""smtpd.conf(5) as a whole: text in, one frozen Config or all its faults out.

Holds `parse_file` and `parse_text`, which raise ConfigErrors and nothing else, whatever the text is.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from smtpd.config import checks
from smtpd.config.errors import ConfigError, ConfigErrors
from smtpd.config.grammar import read_statements
from smtpd.config.lexer import MAX_FILE, Lexer
from smtpd.config.machine import Machine
from smtpd.config.model import Config
from smtpd.config.parser import Parser

_NO_MACROS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to read a configuration.

    machine     who answers for files, names and interfaces; None is this system
    secret      refuse a file that is not root's or ours, or that others may write or read
                (OpenSMTPD's check_file_secrecy; it asks it of no configuration file)
    load        read certificates and keys, check them, and keep them in the Config
    warn        is told what is doubtful but accepted
    generation  the Config's number
    """

    machine: Machine | None = None
    secret: bool = False
    load: bool = True
    warn: Callable[[ConfigError], None] | None = None
    generation: int = 0


def parse_file(path: str, macros: Mapping[str, str] = _NO_MACROS, options: Options = Options()) -> Config:
    """The configuration in a file; `macros` are those of the command line (-D), which the file cannot change.
    ConfigErrors when it is refused."""
    machine = options.machine or Machine()
    try:
        if options.secret:
            check_file_secrecy(path)
        text = machine.read(path, MAX_FILE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigErrors([ConfigError(path, 0, reason)]) from None
    return _parse(path, text, macros, options, machine)


def parse_text(
    text: bytes | str,
    name: str = "smtpd.conf",
    macros: Mapping[str, str] = _NO_MACROS,
    options: Options = Options(),
) -> Config:
    """The configuration in a text that places call `name`; ConfigErrors when it is refused."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if len(data) > MAX_FILE:
        raise ConfigErrors([ConfigError(name, 0, f"larger than {MAX_FILE} bytes")])
    return _parse(name, data, macros, options, options.machine or Machine())


def _parse(name: str, text: bytes, macros: Mapping[str, str], options: Options, machine: Machine) -> Config:
    warn = options.warn or (lambda error: None)

    def read(path: str) -> bytes:
        return machine.read(path, MAX_FILE)

    lexer = Lexer(name, text, read)
    for macro, value in macros.items():
        lexer.define(macro, value, persist=True)
    parser = Parser(lexer, machine, warn)
    errors = read_statements(parser)
    for macro in lexer.macros:
        if macro not in lexer.used:
            warn(ConfigError(name, 0, f"macro '{macro}' not used", macro))
    if not parser.draft.rules and not errors:
        errors.append(ConfigError(name, 0, "no rules, nothing to do"))
    errors.extend(error for good, error in parser.later if not good())
    config = parser.draft.finish(options.generation)
    if options.load:
        config, faults = checks.load(config, machine, parser.draft.broken)
        errors.extend(faults)
    if errors:
        raise ConfigErrors(errors)
    return config


def check_file_secrecy(path: str) -> None:
    """OSError when a file is not owned by root or us, or its mode lets others in (OpenSMTPD's conditions)."""
    status = os.stat(os.fsencode(path))
    if status.st_uid not in (0, os.getuid()):
        raise PermissionError(0, "owner not root or current user", path)
    if status.st_mode & (stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO):
        raise PermissionError(0, "group/world readable/writeable", path)

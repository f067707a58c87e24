"""What a configuration asks of the machine it is read on.

Holds `Machine`, the questions (files, names, interfaces, ports, the server's name) with answers from this
system, each asked only when it is needed, so that tests answer them in its place. Must not know the language.
"""

import errno
import os
import socket
import stat
from collections.abc import Mapping
from functools import cached_property
from ipaddress import ip_address
from types import MappingProxyType

from smtpd.config import interfaces
from smtpd.config.interfaces import InterfaceAddress as InterfaceAddress

MAILNAME_FILES = ("/etc/mail/mailname", "/etc/mailname")
"""The server's name is the first line of the first of these that can be read."""

LIBEXEC = ("/usr/local/libexec/smtpd", "/usr/libexec/opensmtpd", "/usr/libexec/smtpd")
"""Where programs named without a slash are looked for (`table-NAME`, filters)."""

HOST_NAME_MAX = 255


class NoSuchName(Exception):
    """A host name has no address, or none can be found out now; the text says why. `fatal` is False where
    OpenSMTPD only warns and goes on without the listener."""

    def __init__(self, reason: str, fatal: bool = True) -> None:
        super().__init__(reason)
        self.fatal = fatal


class InsecureFile(OSError):
    """A file's owner or mode is not what a secret's has to be."""


class Machine:
    """This system."""

    def read(self, path: str, limit: int | None = None) -> bytes:
        """A file's bytes; OSError, also when it is larger than `limit` bytes."""
        with open(os.fsencode(path), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
                limit = limit or 1 << 24
            data = file.read() if limit is None else file.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise OSError(errno.EFBIG, f"the file is larger than {limit} bytes", path)
        return data

    def read_guarded(self, path: str, mode: int, owners: frozenset[int] | None = None) -> bytes:
        """The bytes of a file that only root or we own and whose mode has no bits beyond `mode`; OSError."""
        with open(os.fsencode(path), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (owners if owners is not None else frozenset({0, os.geteuid()})):
                raise InsecureFile(errno.EACCES, f"not owned by root (uid {status.st_uid})", path)
            if stat.S_IMODE(status.st_mode) & 0o777 & ~mode:
                shown = stat.filemode(stat.S_IFREG | mode)[1:]
                raise InsecureFile(errno.EACCES, f"insecure permissions: must be at most {shown}", path)
            return file.read(1 << 24)

    def passphrase(self, name: str) -> bytes | None:
        """The passphrase of the key of a pki entry; None when nobody can be asked."""
        return None

    def hostname(self) -> str:
        """The server's name as OpenSMTPD's getmailname finds it."""
        for path in MAILNAME_FILES:
            try:
                line = self.read(path, 1 << 16).split(b"\n", 1)[0]
            except OSError:
                continue
            if line and len(line) <= HOST_NAME_MAX:
                return line.decode("utf-8", "surrogateescape")
        name = socket.gethostname()
        if "." in name:
            return name
        try:
            found = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)
        except (OSError, UnicodeError):
            return name
        return found[0][3] or name

    def port(self, service: str) -> int | None:
        """The TCP port of a service by its name in services(5)."""
        try:
            return socket.getservbyname(service, "tcp")
        except (OSError, ValueError):
            return None

    def resolve(self, name: str, family: str) -> list[tuple[str, str]]:
        """Addresses of a host name as (family, address); NoSuchName."""
        wanted = {"inet4": socket.AF_INET, "inet6": socket.AF_INET6}.get(family, socket.AF_UNSPEC)
        try:
            found = socket.getaddrinfo(name, None, wanted, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        except UnicodeError:
            raise NoSuchName("not a host name") from None
        except socket.gaierror as error:
            silent = (socket.EAI_AGAIN, socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
            raise NoSuchName(error.strerror or str(error), error.errno in silent) from None
        except (OSError, ValueError) as error:
            raise NoSuchName(str(error)) from None
        names = {socket.AF_INET: "inet4", socket.AF_INET6: "inet6"}
        return [(names[item[0]], str(item[4][0])) for item in found if item[0] in names]

    def table_program(self, backend: str) -> str:
        """The path of the program that serves tables of this backend, "" when there is none."""
        if "/" in backend or "\0" in backend or not backend:
            return ""
        for directory in LIBEXEC:
            path = f"{directory}/table-{backend}"
            if os.path.exists(os.fsencode(path)):
                return path
        return ""

    @cached_property
    def _interface_addresses(self) -> tuple[InterfaceAddress, ...]:
        return interfaces.interface_addresses()

    def interface_addresses(self) -> tuple[InterfaceAddress, ...]:
        """Every address of every interface. Groups are those of `ip link`, and as on OpenBSD "all", which has
        every interface, and "egress", which has those of the default routes."""
        return self._interface_addresses

    def forget(self) -> None:
        """Ask for the interfaces anew next time."""
        self.__dict__.pop("_interface_addresses", None)


class FixedMachine(Machine):
    """A machine whose answers are given: for reading what is meant for another one, and for tests.

    Files are this system's, unless `files` is given; then there are no others.
    """

    def __init__(
        self,
        hostname: str = "mail.example.org",
        addresses: tuple[InterfaceAddress, ...] = (
            InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1"),
            InterfaceAddress("lo", ("all",), "inet6", "::1"),
            InterfaceAddress("eth0", ("all", "egress"), "inet4", "192.0.2.10"),
        ),
        names: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
            {"localhost": (("inet6", "::1"), ("inet4", "127.0.0.1"))}
        ),
        ports: Mapping[str, int] = MappingProxyType({"smtp": 25, "smtps": 465, "submission": 587}),
        programs: frozenset[str] = frozenset(),
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._hostname = hostname
        self._addresses = addresses
        self._names = names
        self._ports = ports
        self._programs = programs
        self._files = files

    def read(self, path: str, limit: int | None = None) -> bytes:
        """See Machine."""
        if self._files is None:
            return super().read(path, limit)
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        data = self._files[path]
        if limit is not None and len(data) > limit:
            raise OSError(errno.EFBIG, f"the file is larger than {limit} bytes", path)
        return data

    def read_guarded(self, path: str, mode: int, owners: frozenset[int] | None = None) -> bytes:
        """See Machine."""
        return super().read_guarded(path, mode, owners) if self._files is None else self.read(path)

    def hostname(self) -> str:
        """See Machine."""
        return self._hostname

    def port(self, service: str) -> int | None:
        """See Machine."""
        return self._ports.get(service)

    def resolve(self, name: str, family: str) -> list[tuple[str, str]]:
        """See Machine."""
        try:
            ip_address(name)
        except ValueError:
            found = [item for item in self._names.get(name, ()) if family in ("", item[0])]
            if found:
                return found
            raise NoSuchName("Name or service not known") from None
        raise NoSuchName("Address family for hostname not supported", fatal=False)

    def table_program(self, backend: str) -> str:
        """See Machine."""
        return f"{LIBEXEC[0]}/table-{backend}" if backend in self._programs else ""

    def interface_addresses(self) -> tuple[InterfaceAddress, ...]:
        """See Machine."""
        return self._addresses

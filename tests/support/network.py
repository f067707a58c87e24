"""Networks of a test's own: a namespace for the daemon, one for its peers with as many addresses as wanted,
a name server of Debian's, and links that lose or delay what goes over them.

Nothing of it has a name on the machine: a namespace is held by a descriptor of this process, and goes with
it. Needs root, for namespaces; `missing` says what else.
"""

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
from daemon import Daemon
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from sink import Sink

HERE = ("198.51.100.1", "2001:db8:100::1")
"""The daemon's addresses; by default it speaks from the one of the family."""

_THERE = ("198.51.100.254", "2001:db8:100::fe")
NAME_SERVER = "192.0.2.53"
CLOCK_SECONDS = 20
_NODAD = 0x02  # IFA_F_NODAD: an address is there at once, not after duplicates were looked for


def missing() -> str:
    """Why there can be no networks here; "" when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("nsenter", "unshare", "mount"):
        if shutil.which(program) is None:
            return f"no {program}"
    if name_server_program() is None:
        return "no nsd: tools/test --system installs it"
    return ""


def name_server_program() -> str | None:
    """Where nsd is."""
    return shutil.which("nsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Namespace:
    """A network namespace, reached by setns(2) in a thread of its own for each call."""

    def __init__(self) -> None:
        self.descriptor: int = _in_thread(_new_namespace)
        self.run(_set, "net/ipv6/conf/all/accept_dad", "0")
        self.run(_set, "net/ipv6/conf/default/accept_dad", "0")
        self.link(lambda ip: ip.link("set", index=1, state="up"))

    @property
    def path(self) -> str:
        """For nsenter(1), as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function inside; sockets it makes stay inside for good."""

        def call() -> Any:
            os.setns(self.descriptor, os.CLONE_NEWNET)
            return function(*arguments)

        return _in_thread(call)

    def link(self, change: Callable[[IPRoute], Any]) -> Any:
        """Change links, addresses or routes inside."""

        def call() -> Any:
            with IPRoute() as ip:
                return change(ip)

        return self.run(call)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program, run inside to its end."""
        enter = ["nsenter", f"--net={self.path}", *words]
        return subprocess.run(enter, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)

    def close(self) -> None:
        """Gone, once nobody else is inside."""
        os.close(self.descriptor)


class Network:
    """The daemon's side (`here`) and the peers' side (`there`), and a wire between them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="network-"))
        self.folder.chmod(0o711)
        self.resolv_conf = self.folder / "resolv.conf"
        self.hosts = self.folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        self.resolve_by(NAME_SERVER)
        self._made: list[Any] = []
        self._there: set[str] = set()
        self._lost: set[str] = set()
        self.here = Namespace()
        self.there = Namespace()
        self._connect()

    def _connect(self) -> None:
        other = self.there.descriptor
        for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            self.there.run(_set, name, "1")
        self.there.run(_set, "net/ipv4/icmp_ratelimit", "0")
        self.here.link(
            lambda ip: ip.link(
                "add", ifname="mail0", kind="veth", peer={"ifname": "wire", "net_ns_fd": other}
            )
        )
        for namespace, name, addresses in ((self.here, "mail0", HERE), (self.there, "wire", _THERE)):
            namespace.link(lambda ip, name=name, addresses=addresses: _bring_up(ip, name, addresses))
        self.here.link(lambda ip: [ip.route("add", dst=_any(to), gateway=to) for to in _THERE])

    # what can be reached

    def add(self, *addresses: str) -> None:
        """Addresses of the peers: they are there, and refuse connections unless somebody listens."""
        for address in addresses:
            self.restore(address)
            if address not in self._there:
                self._there.add(address)
                self.there.link(lambda ip, address=address: _address(ip, "add", 1, address))

    def add_here(self, *addresses: str) -> None:
        """More addresses of the daemon's machine."""
        for address in addresses:
            self.here.link(lambda ip, address=address: _address(ip, "add", 1, address))

    def blackhole(self, *addresses: str) -> None:
        """Nothing comes back from these any more."""
        self._lose("blackhole", addresses)

    def unreachable(self, *addresses: str) -> None:
        """The router says (by ICMP) that these cannot be reached."""
        self._lose("unreachable", addresses)

    def restore(self, *addresses: str) -> None:
        """As before blackhole and unreachable."""
        for address in addresses:
            if address in self._lost:
                self._lost.discard(address)
                self.there.link(lambda ip, address=address: ip.route("del", dst=_alone(address)))
                self.add(address)

    def _lose(self, kind: str, addresses: tuple[str, ...]) -> None:
        for address in addresses:
            if address in self._there:
                self._there.discard(address)
                self.there.link(lambda ip, address=address: _address(ip, "del", 1, address))
            self._lost.add(address)
            self.there.link(lambda ip, address=address: ip.route("add", dst=_alone(address), type=kind))

    def no_route(self, family: int) -> None:
        """The daemon's machine has no way at all to addresses of this family (4 or 6)."""
        to = _THERE[family == 6]
        self.here.link(lambda ip: ip.route("del", dst=_any(to), gateway=to))

    # a bad wire

    def netem(self, **options: int) -> str:
        """tc-netem(8) on what the peers send: `delay` in microseconds, `loss` in percent. Why it cannot be,
        or ""."""
        try:
            self.there.link(
                lambda ip: ip.tc("add", "netem", ip.link_lookup(ifname="wire")[0], "1:", **options)
            )
        except NetlinkError as error:
            return f"this kernel has no netem ({error})"
        return ""

    def lose(self, percent: int) -> str:
        """Lose this share of the packets in both directions: by netem, else by nft. Why it cannot be, or
        ""."""
        reason = self.netem(loss=percent)
        if not reason:
            return ""
        if shutil.which("nft") is None:
            return f"{reason}, and there is no nft"
        for namespace, name in ((self.here, "mail0"), (self.there, "wire")):
            rules = (
                f"table netdev lossy {{ chain in {{ type filter hook ingress device {name} priority 0; "
                f"meta l4proto tcp numgen random mod 100 < {percent} drop; }}; }}"
            )
            done = namespace.command("nft", rules)
            if done.returncode:
                return f"{reason}, and nft said {done.stderr.strip()}"
        return ""

    # who is there

    def sink(self, address: str, answers: dict[str, Any] | None = None, port: int = 25) -> Sink:
        """An SMTP server at one of the peers' addresses."""
        made = Sink(answers, listener=self.listener(address, port))
        self._made.append(made)
        return made

    def listener(self, address: str, port: int = 25) -> socket.socket:
        """A listening socket there."""
        self.add(address)
        return self.there.run(_listen, address, port)

    def peer(self, address: str, serve: Callable[[socket.socket], None], port: int = 25) -> "Peer":
        """Somebody who does with each connection what he likes."""
        made = Peer(self.listener(address, port), serve)
        self._made.append(made)
        return made

    def name_server(self, zones: dict[str, str], address: str = NAME_SERVER) -> "NameServer":
        """nsd with these zones: name -> records, without SOA and NS."""
        self.add(address)
        made = NameServer(self, address, zones)
        self._made.append(made)
        made.start()
        return made

    def resolve_by(self, *servers: str, options: str = "timeout:1") -> None:
        """What the daemon's resolv.conf(5) says."""
        lines = [f"nameserver {server}" for server in servers] + ([f"options {options}"] if options else [])
        self.resolv_conf.write_text("\n".join(lines) + "\n")

    def daemon(self, conf: str, **names: object) -> "NetworkDaemon":
        """A daemon inside, started. ${port} is where it listens, on 127.0.0.1."""
        made = NetworkDaemon(self, conf, **names)
        self._made.append(made)
        made.start()
        return made

    def close(self) -> None:
        """End all of it; the first error is raised when all is done."""
        errors: list[BaseException] = []
        for made in reversed(self._made):
            try:
                made.close()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                errors.append(error)
        self.here.close()
        self.there.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if errors:
            raise errors[0]


class NetworkDaemon(Daemon):
    """The daemon in a network of the test's own, with a resolv.conf and a hosts file of its own."""

    def __init__(self, network: Network, conf: str, **names: object) -> None:
        self._network = network
        super().__init__(conf, **names)

    def command(self) -> list[str]:
        """Into the namespaces first."""
        mount = f"mount --bind {self._network.resolv_conf} /etc/resolv.conf; "
        mount += f"mount --bind {self._network.hosts} /etc/hosts"
        enter = ["nsenter", f"--net={self._network.here.path}", "unshare", "--mount", "--propagation=private"]
        return [*enter, "sh", "-c", f'set -e; {mount}; exec "$@"', "sh", *super().command()]

    def smtp(self) -> smtplib.SMTP:
        """A client on the daemon's own machine."""
        connect = self._network.here.run

        class Client(smtplib.SMTP):
            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                return connect(socket.create_connection, (host, port), timeout)

        return Client("127.0.0.1", self.port, local_hostname="client.test", timeout=30)


class Peer:
    """Every connection has a thread, which `serve` is called in. `connections`: how many there were."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._listener = listener
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                return

    def close(self) -> None:
        """Take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class NameServer:
    """nsd(8) in the foreground, on zones that the test writes."""

    def __init__(self, network: Network, address: str, zones: dict[str, str]) -> None:
        self.address = address
        self._network = network
        self._zones = dict(zones)
        self._serial = 0
        self._folder = Path(tempfile.mkdtemp(prefix="nsd-", dir=network.folder))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = name_server_program()
        assert program is not None
        self._write()
        enter = ["nsenter", f"--net={self._network.there.path}"]
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [*enter, program, "-d", "-c", str(self._folder / "nsd.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def change(self, zone: str, records: str) -> None:
        """Other records in a zone, from the return of this on."""
        assert self._process is not None
        self._zones[zone] = records
        self._write()
        self._process.send_signal(signal.SIGHUP)
        self._wait()

    def close(self) -> None:
        """SIGTERM; it ends its own children."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def _write(self) -> None:
        self._serial += 1
        lines = [
            "server:",
            f"  ip-address: {self.address}",
            "  server-count: 1",
            '  username: ""',
            '  chroot: ""',
            '  database: ""',
            '  pidfile: ""',
            f'  zonesdir: "{self._folder}"',
            f'  xfrdfile: "{self._folder}/xfrd.state"',
            f'  zonelistfile: "{self._folder}/zone.list"',
            f'  xfrdir: "{self._folder}"',
            "  rrl-ratelimit: 0",
            "remote-control:",
            "  control-enable: no",
        ]
        for number, (zone, records) in enumerate(self._zones.items()):
            lines += ["zone:", f"  name: {zone}", f"  zonefile: zone{number}"]
            if records == BROKEN:
                # a secondary that never got its zone answers SERVFAIL
                lines += ["  request-xfr: AXFR 127.0.0.1@9 NOKEY"]
                continue
            soa = f"@ SOA ns.{zone}. root.{zone}. {self._serial} 60 60 600 1"
            head = f"$ORIGIN {zone}.\n$TTL 60\n{soa}\n@ NS ns\n"
            text = f'{head}ns A {self.address}\n_serial TXT "{self._serial}"\n{records}\n'
            (self._folder / f"zone{number}").write_text(text)
        (self._folder / "nsd.conf").write_text("\n".join(lines) + "\n")

    def _wait(self) -> None:
        """Until the zones are those last written."""
        zone = next(zone for zone, records in self._zones.items() if records != BROKEN)
        question = dns.message.make_query(f"_serial.{zone}.", "TXT")
        until = time.monotonic() + CLOCK_SECONDS
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                answer = self._network.there.run(dns.query.udp, question, self.address, 0.5)
            except (dns.exception.DNSException, OSError):
                time.sleep(0.02)
                continue
            if f'"{self._serial}"' in answer.to_text():
                return
            time.sleep(0.02)
        raise AssertionError(f"nsd does not answer:\n{(self._folder / 'log').read_text()}")


BROKEN = "SERVFAIL"
"""In place of a zone's records: all questions about it are answered by SERVFAIL."""


def _in_thread(function: Callable[[], Any]) -> Any:
    """The result of a function called in a thread that ends with it: namespaces belong to threads."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _new_namespace() -> int:
    os.unshare(os.CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    if path.exists():
        path.write_text(value)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(100)
    return listener


def _bring_up(ip: IPRoute, name: str, addresses: tuple[str, ...]) -> None:
    index = ip.link_lookup(ifname=name)[0]
    ip.link("set", index=index, state="up")
    for address in addresses:
        _address(ip, "add", index, address, 64 if ":" in address else 24)


def _address(ip: IPRoute, order: str, index: int, address: str, length: int = 0) -> None:
    six = ":" in address
    options = {"flags": _NODAD} if six and order == "add" else {}
    ip.addr(order, index=index, address=address, prefixlen=length or (128 if six else 32), **options)


def _any(address: str) -> str:
    return "::/0" if ":" in address else "0.0.0.0/0"


def _alone(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"

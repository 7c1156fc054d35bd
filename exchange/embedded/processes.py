"""What `/proc` tells about other processes: children, command lines, who listens where.

Only reads. A process that ends while it is looked at counts as gone, and what belongs to another
user and cannot be read is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"
"""The state of a listening socket in `/proc/net/tcp`."""
LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "00000000000000000000000001000000",  # ::1
    "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1, how Java listens on 127.0.0.1
}


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket. `address` is the kernel's hexadecimal form, `0100007F` loopback."""

    address: str
    port: int
    inode: str

    @property
    def is_loopback(self) -> bool:
        return self.address in LOOPBACK


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie, dead but not yet waited for, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def command_line(pid: int) -> str:
    """Return the command line of a process, empty when it has ended or is a kernel thread."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def descendants(pid: int) -> list[int]:
    """Return the process ids of the children of `pid`, their children and so on."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(child) for child in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in direct:
            found += [child, *descendants(child)]
    return found


def listeners() -> list[Listener]:
    """Return every listening TCP socket of this machine (of this network namespace)."""
    found = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():  # a kernel without IPv6
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTEN:
                found.append(Listener(address=address, port=int(port, 16), inode=fields[9]))
    return found


def listeners_of(pid: int) -> list[Listener]:
    """Return the sockets on which the process `pid` listens."""
    inodes = set(_socket_inodes(pid))
    return [listener for listener in listeners() if listener.inode in inodes]


def holder_of(port: int) -> int | None:
    """Return the process that listens on a TCP port, None where `/proc` does not tell."""
    wanted = {listener.inode for listener in listeners() if listener.port == port}
    if not wanted:
        return None
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next((pid for pid in pids if wanted.intersection(_socket_inodes(pid))), None)


def _socket_inodes(pid: int) -> Iterator[str]:
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target.removeprefix("socket:[").removesuffix("]")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return

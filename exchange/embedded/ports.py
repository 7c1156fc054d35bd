"""TCP ports on loopback: find free ones, and name who holds an occupied one."""

import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from exchange.embedded.errors import ServerError
from exchange.embedded.processes import command_line, holder_of

LOWEST_PORT = 20_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
MAX_ATTEMPTS = 200
_handed_out: set[int] = set()
"""Ports that this process has been given: still free perhaps, but spoken for."""


class PortInUseError(ServerError):
    """Ports that are needed are taken; the message names each and its holder."""


def free_port() -> int:
    """Return a port on loopback that nobody listens on, below the kernel's ephemeral range.

    Not "bind to port 0": an ephemeral port can be taken as the *local* end of any outgoing
    connection while its server is down for a moment. A client that tries to reconnect to its dead
    server can even be given that very port, connect to itself, and keep the server from starting.
    """
    highest = int(EPHEMERAL_RANGE.read_text().split()[0])
    candidates = (
        range(LOWEST_PORT, highest) if highest > LOWEST_PORT + 1000 else range(61_000, 2**16)
    )
    for _ in range(MAX_ATTEMPTS):
        port = secrets.choice(candidates)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise PortInUseError(
        f"No free port among {candidates.start}-{candidates.stop - 1}. Stop what is listening "
        "there (`ss -tlnp` lists it) and try again."
    )


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that are still closing down do not keep a port occupied.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(ports: Mapping[str, int]) -> None:
    """Check that the port of each name is free.

    Raises:
        PortInUseError: some are not; the message names them all.
    """
    occupied = {name: port for name, port in ports.items() if not is_free(port)}
    if occupied:
        lines = [f"  {port} ({name}): {_held_by(port)}" for name, port in occupied.items()]
        raise PortInUseError(
            "These ports are in use. Stop what holds them, or choose other ports:\n"
            + "\n".join(lines)
        )


def _held_by(port: int) -> str:
    pid = holder_of(port)
    if pid is None:
        return "held by a process that cannot be seen from here"
    return f"held by process {pid}: {command_line(pid)[:200]}"

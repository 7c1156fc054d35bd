"""What both embedded Kafka brokers share: their address, and how to tell that they answer.

The check speaks just enough of Kafka's protocol to ask for the cluster's brokers, so that it
needs no client library: only `exchange.kafka` may import one.
"""

import socket
import struct

from exchange.embedded.server import Server

METADATA_KEY = 3
METADATA_VERSION = 4
CLIENT_ID = b"exchange-ready"
ASK_TIMEOUT_SECONDS = 2.0


class Broker(Server):
    """A single broker that speaks Kafka's protocol."""

    address_variable = "KAFKA_BOOTSTRAP_SERVERS"

    @property
    def url(self) -> str:
        return self.address

    def is_ready(self) -> bool:
        try:
            return count_brokers(self.host, self.port) > 0
        except OSError:  # refused, reset or timed out: not ready yet
            return False


def count_brokers(host: str, port: int) -> int:
    """Return how many brokers of its cluster the broker at this address knows to be in service.

    Raises:
        OSError: it does not answer.
    """
    # Request header v1 (key, version, correlation id, client id), then Metadata v4:
    # an empty array of topics, and no creation of topics.
    request = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, 1, len(CLIENT_ID)) + CLIENT_ID
    request += struct.pack(">ib", 0, 0)
    with socket.create_connection((host, port), timeout=ASK_TIMEOUT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _read(connection, 4))
        answer = _read(connection, size)
    # Correlation id, throttle time, then the array of brokers, which begins with its length.
    _correlation_id, _throttle_ms, brokers = struct.unpack_from(">iii", answer)
    return int(brokers)


def _read(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("the broker closed the connection in mid-answer")
        parts += part
    return parts

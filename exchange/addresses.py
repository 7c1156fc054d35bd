"""Where the servers are: from the environment, else from the running stack, else the usual ports.

`make up` starts the servers that the environment does not name on free ports and writes their
addresses to `.local/run/addresses.json`; a `manage.py` command in another terminal finds them
there. This module only reads; `exchange.stack` writes. It knows nothing of Django.
"""

import json
import os
from pathlib import Path

LOCAL = Path(__file__).resolve().parent.parent / ".local"
ADDRESSES_FILE = LOCAL / "run" / "addresses.json"

USUAL = {
    "DATABASE_URL": "postgres://exchange:exchange@127.0.0.1:5432/exchange",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
}


def address(name: str) -> str:
    """Return the address called `name` (a key of `USUAL`)."""
    return os.environ.get(name) or _of_running_stack().get(name) or USUAL[name]


def _of_running_stack() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(ADDRESSES_FILE.read_text())
    except FileNotFoundError:
        return {}
    return found

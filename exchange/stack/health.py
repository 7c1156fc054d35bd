"""What the web services say about their health: their own, and that of the workers' bridges."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable

READY_PATH = "/health/ready"
TIMEOUT_SECONDS = 5


def answers(port: int, path: str) -> bool:
    """Tell whether the service on this port answers `path` with status 200."""
    status, _body = _get(port, path)
    return status == 200


def bridge_is_running(ports: Iterable[int], *, bridge: str, pid: int) -> bool:
    """Tell whether the worker `pid` has its partitions and reads; ask the first that knows.

    Any of the web services on `ports` will do: workers report to a place that all of them see.
    """
    for port in ports:
        status, body = _get(port, READY_PATH)
        if status in {200, 503}:  # 503: something is not ready, but perhaps not this
            return any(
                (report["bridge"], report["pid"], report["state"]) == (bridge, pid, "running")
                for report in json.loads(body)["bridges"]
            )
    return False


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body; status 0 when nobody answers."""
    url = f"http://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException):  # not listening yet, or died in mid-answer
        return 0, b""

"""What an API key signs, and how. Pure: the server checks with it, our own clients sign with it.

Knows nothing of HTTP libraries, of the database or of time zones, and never logs what it gets.
"""

import hashlib
import hmac
import time

DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
CLOCK_TOLERANCE_MS = 1_000
"""A timestamp may be this far in the future: the clocks of two machines differ."""

KEY_HEADER = "X-Api-Key"
TIMESTAMP_HEADER = "X-Api-Timestamp"
SIGNATURE_HEADER = "X-Api-Signature"
WINDOW_HEADER = "X-Api-Window"

HOW_TO_SIGN = f"""\
Machines sign each request with an API key, in these headers:

- `{KEY_HEADER}`: the key's public part, `ek_…`.
- `{TIMESTAMP_HEADER}`: the time of the request, in milliseconds since 1970-01-01 UTC.
- `{WINDOW_HEADER}` (optional): for how many milliseconds from then on the request is good, 1 to
  {MAX_WINDOW_MS}; {DEFAULT_WINDOW_MS} if not given.
- `{SIGNATURE_HEADER}`: HMAC-SHA256 in lower-case hex. The key is the secret (as UTF-8 text); the
  message is these six lines, joined by one line feed each, with none at the end:
  1. the timestamp, as in its header
  2. the window, as in its header, or `{DEFAULT_WINDOW_MS}`
  3. the method in capitals
  4. the path, for example `/orders`; decoded, if anything in it was escaped
  5. the query string as it is sent, without the `?`; empty if there is none
  6. SHA-256 of the body in lower-case hex; of nothing, if there is no body
"""


def now_ms() -> int:
    """Return the time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def canonical_text(
    *, timestamp: int, window: int, method: str, path: str, query: str, body: bytes
) -> str:
    """Return what is signed. `timestamp`, `window`: milliseconds.

    Only the path may hold a line feed (an escaped one); as it is the only one, no two requests
    have the same text.
    """
    return "\n".join(
        (str(timestamp), str(window), method, path, query, hashlib.sha256(body).hexdigest())
    )


def sign(secret: str, text: str) -> str:
    """Return the signature of `text`, in lower-case hex."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_signature_of(secret: str, text: str, given: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(sign(secret, text).encode(), given.encode())

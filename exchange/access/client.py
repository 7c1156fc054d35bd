"""Signs the requests of our own programs, as any client of the exchange has to."""

from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from exchange.access import signatures


class Signed(AuthBase):
    """For `requests.get(…, auth=Signed(public_id, secret))`."""

    def __init__(self, public_id: str, secret: str) -> None:
        self._public_id = public_id
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        address = urlsplit(request.url or "")
        body = request.body or b""
        timestamp = signatures.now_ms()
        text = signatures.canonical_text(
            timestamp=timestamp,
            window=signatures.DEFAULT_WINDOW_MS,
            method=request.method or "",
            path=str(address.path),
            query=str(address.query),
            body=body.encode() if isinstance(body, str) else body,
        )
        request.headers[signatures.KEY_HEADER] = self._public_id
        request.headers[signatures.TIMESTAMP_HEADER] = str(timestamp)
        request.headers[signatures.SIGNATURE_HEADER] = signatures.sign(self._secret, text)
        return request

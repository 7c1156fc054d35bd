"""Who calls the API in the fuzz run: the project's WSGI application behind each caller's credentials.

A caller signs or signs in what the fuzzer really sends, after it is built. Must never change a
request in any other way.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import Client

from exchange.access import signatures
from exchange.access.keys import NewApiKey, create_api_key
from exchange.models import User

Environ = dict[str, Any]
Credentials = Callable[[Environ], None]


WORK_EVERY = 40
"""Requests after which the workers' share of the work is done."""


@dataclass
class Application:
    """The application as WSGI, on one thread with one database connection; counts its requests.

    `work`: what the workers would do meanwhile; done on the same thread, every `WORK_EVERY` requests.
    """

    credentials: Credentials
    work: Callable[[], None] = lambda: None
    requests: int = 0

    def __post_init__(self) -> None:
        self._django = get_wsgi_application()
        self._thread = ThreadPoolExecutor(1)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        answering: Future[list[bytes]] = self._thread.submit(self._answer, environ, start_response)
        return answering.result()

    def _answer(self, environ: Environ, start_response: Any) -> list[bytes]:
        environ.setdefault("REMOTE_ADDR", "127.0.0.1")
        self.credentials(environ)

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self.requests += 1
            return start_response(status, headers, *rest)

        response = self._django(environ, started)
        try:
            return list(response)
        finally:
            response.close()
            if self.requests % WORK_EVERY == 0:
                self.work()

    def close(self) -> None:
        """End the thread and its connection, which would keep the test database in use."""
        self._thread.submit(connections.close_all).result()
        self._thread.shutdown()


def nobody() -> Credentials:
    """No credentials but those that the fuzzer makes up."""
    return lambda environ: None


def browser_of(user: User) -> Credentials:
    """A session, with Django's token against forged requests in cookie and header."""
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    token = get_token(HttpRequest())

    def sign_in(environ: Environ) -> None:
        environ["HTTP_COOKIE"] = f"sessionid={session}; csrftoken={token}"
        environ["HTTP_X_CSRFTOKEN"] = token

    return sign_in


def program_of(made: NewApiKey) -> Credentials:
    """An API key: signs method, path, query and body as they are sent."""

    def sign(environ: Environ) -> None:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        timestamp = signatures.now_ms()
        text = signatures.canonical_text(
            timestamp=timestamp,
            window=signatures.DEFAULT_WINDOW_MS,
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
            query=environ.get("QUERY_STRING", ""),
            body=body,
        )
        environ["HTTP_X_API_KEY"] = made.key.public_id
        environ["HTTP_X_API_TIMESTAMP"] = str(timestamp)
        environ["HTTP_X_API_SIGNATURE"] = signatures.sign(made.secret, text)

    return sign


CALLERS: dict[str, Callable[[], Credentials]] = {
    "nobody": nobody,
    "user": lambda: browser_of(User.objects.get(pk=1)),
    "key": lambda: program_of(create_api_key(owner_id=1, name="fuzz", scopes=["read", "trade"])),
    "staff": lambda: browser_of(User.objects.create_superuser("boss")),
    "demo": nobody,
}
"""By name; `demo` is nobody, in demo mode."""

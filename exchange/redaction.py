"""Takes secrets out of what is about to be logged. Knows nothing of Django.

Three nets, because each has holes: names of fields that hold secrets, wherever they stand beside a
value; passwords in addresses; and the very secrets of this process's environment, wherever they
stand. Every line that a process of ours writes passes here: log records with their tracebacks
(`exchange.settings.logs`), gunicorn's own (`exchange.gunicorn_log`), and uncaught exceptions.
"""

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
_WORD = (
    r"(?:passw(?:or)?d|passphrase|secret|signature|credential|private[_-]?key|api[_-]?key"
    r"|access[_-]?key|auth[_-]?token|csrf\w{0,20}token|session[_-]?(?:id|key))"
)
_WHOLE_LINE_NAME = r"(?:(?:http[_-])?(?:proxy[_-])?authorization|(?:http[_-]|set-)?cookie)"
_NAME = re.compile(rf"[\w-]*{_WORD}[\w-]*|{_WHOLE_LINE_NAME}s?", re.IGNORECASE)
_QUOTED = r'"(?:[^"\\\n]|\\.)*"?' + r"|'(?:[^'\\\n]|\\.)*'?"
_ESCAPED = r'\\"(?:\\\\\\"|(?!\\").)*(?:\\")?' + r"|\\'(?:(?!\\').)*(?:\\')?"
_AFTER = r"(?:\\?[\"'])?\s*(?:=>|[:=])\s*(?:[bru](?=[\"']))?"
_PAIR = re.compile(
    rf"(?P<before>{_WORD}[\w-]{{0,40}}{_AFTER})(?P<value>{_ESCAPED}|{_QUOTED}|[^\s,;&)}}\]\"'\\]+)",
    re.IGNORECASE,
)
_WHOLE_LINE = re.compile(
    rf"(?P<before>\b{_WHOLE_LINE_NAME}{_AFTER})(?P<value>{_ESCAPED}|{_QUOTED}|[^\r\n\"'\\]+)",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?P<before>(?:Basic|Bearer|HMAC-SHA256)\s+)(?P<value>[\w.~+/=:-]{12,})")
_ADDRESS = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+]{0,20}://[^\s:/@\"']{0,200}:)(?P<value>[^\s/\"']{1,300})(?=@)"
)
_WHERE_TO_LOOK = (
    (("://",), _ADDRESS),
    (("authorization", "cookie"), _WHOLE_LINE),
    (
        (
            *("passw", "passphrase", "secret", "signature", "credential"),
            *("private", "api", "access", "auth", "csrf", "session"),
        ),
        _PAIR,
    ),
    (("basic ", "bearer ", "hmac-"), _SCHEME),
)
"""A pattern takes long, next to the question whether there is anything to look for."""
MIN_KNOWN_LENGTH = 6
_NOT_SECRET = {"exchange", "development-only"}
"""What a developer's machine uses; to take these out would make the logs unreadable."""


def known_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values of `environment` that must never be seen, as written and decoded."""
    found: set[str] = set()
    for name, value in environment.items():
        if is_secret(name):
            found |= {value, *(part.strip() for part in value.split(","))}  # as encryption keys do
        elif "://" in value and "@" in value:
            found |= _passwords(value)
    return frozenset(s for s in found if len(s) >= MIN_KNOWN_LENGTH and s not in _NOT_SECRET)


def _passwords(address: str) -> set[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Return whether a field of this name holds a secret."""
    return _NAME.fullmatch(name) is not None


class Redactor:
    """Takes secrets out of texts, and out of the fields of an event.

    The fields' names say more before they are made into a text, the text has what no field holds:
    so both are looked at, the fields for names only.
    """

    def __init__(self, known: frozenset[str] = frozenset()) -> None:
        self._known = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return `text` without secrets, otherwise as it was."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        small = text.lower()
        for hints, pattern in _WHERE_TO_LOOK:
            if any(hint in small for hint in hints):
                text = pattern.sub(_hide, text)
        return text

    def value(self, name: str, value: Any) -> Any:
        """Return the value of the field `name`, or what stands in its place."""
        if is_secret(name) and value not in (None, "", True, False):
            return HIDDEN
        if isinstance(value, Mapping):
            return {key: self.value(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value("", inner) for inner in value]
        return value

    def processor(self, _: object, __: str, event: Any) -> Any:
        """Redact the fields of an event: a structlog processor."""
        return {name: self.value(name, value) for name, value in event.items()}


def _hide(found: re.Match[str]) -> str:
    value = found["value"]
    quote = re.match(r"\\?[\"']", value)
    marks = quote[0] if quote else ""
    return f"{found['before']}{marks}{HIDDEN}{marks}"


redactor = Redactor(known_secrets(os.environ))
"""This process's own."""


class RedactingFilter(logging.Filter):
    """Puts the finished, redacted message in place of a record's parts: for handlers not ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redactor.text(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redactor.text("".join(traceback.format_exception(*record.exc_info)))
            record.exc_info = None
        return True


def redact_uncaught() -> None:
    """Let uncaught exceptions, of this thread and others, be printed without secrets."""
    sys.excepthook = _print_redacted
    threading.excepthook = lambda failure: _print_redacted(
        failure.exc_type, failure.exc_value, failure.exc_traceback
    )


def _print_redacted(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    sys.stderr.write(redactor.text("".join(traceback.format_exception(kind, error, trace))))

"""JSON in, without a float on the way."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser

MAX_BODY_BYTES = 64 * 1024
"""No other request of this API comes near; what is larger is not read."""
MAX_BATCH_BYTES = 128 * 1024
"""Of a batch of orders: 200 with all their fields at their longest, and spaces between."""
BATCH_PATH = "/orders/batch"
MAX_DEPTH = 16
"""Arrays and objects inside each other. An order has one level."""
_MAX_INTEGER_DIGITS = 40
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
"""At every quote one alternative matches, closed or not: so any body is scanned once."""


class BodyTooLargeError(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "body_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"The body is larger than {most} bytes.")


class JSONTooDeepError(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = f"Arrays and objects are nested more than {MAX_DEPTH} deep."
    default_code = "json_too_deep"


def most_bytes(path: str) -> int:
    """Return how large the body of a request to `path` may be."""
    return MAX_BATCH_BYTES if path == BATCH_PATH else MAX_BODY_BYTES


def _check_depth(body: bytes) -> None:
    """Count the brackets outside of strings, before anything is built from them.

    Raises:
        JSONTooDeepError: more than `MAX_DEPTH` are open at once.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _brackets(body):
        if bracket in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JSONTooDeepError
        else:
            depth -= 1


def _brackets(body: bytes) -> bytes:
    """Return the brackets of `body` that are in no string."""
    if b"\\" not in body:  # every quote begins or ends a string: twenty times as fast
        return b"".join(body.split(b'"')[::2]).translate(None, _NO_BRACKET)
    found = (match[0] for match in _STRING_OR_BRACKET.finditer(body))
    return b"".join(text for text in found if text in {b"[", b"{", b"]", b"}"})


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:_MAX_INTEGER_DIGITS]} has an exponent beyond reason") from error


def _integer(text: str) -> int | Decimal:
    """Python refuses to read thousands of digits as an int; the fields say which is too large."""
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else Decimal(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values for one name: which one is meant is not for us to guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


class ExactJSONParser(JSONParser):
    """Parses `1.9` to `Decimal("1.9")`: every digit that was sent, and no other."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        # DRF has compared it already, but takes `*/*` and `application/*` for JSON, too.
        if (media_type or "").partition(";")[0].strip().lower() != self.media_type:
            raise UnsupportedMediaType(media_type or "")
        most = most_bytes(parser_context["request"].path) if parser_context else MAX_BODY_BYTES
        body = stream.read(most + 1)
        if len(body) > most:
            raise BodyTooLargeError(most)
        _check_depth(body)
        try:
            return json.loads(
                body.decode("utf-8"),
                parse_float=_decimal,
                parse_int=_integer,
                parse_constant=_refuse_constant,
                object_pairs_hook=_refuse_duplicates,
            )
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not valid JSON: {error}") from error

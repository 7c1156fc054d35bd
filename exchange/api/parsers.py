"""JSON in, without a float on the way."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


class ExactJSONParser(JSONParser):
    """Parses `1.9` to `Decimal("1.9")`: every digit that was sent, and no other."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - the interface of DRF
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        try:
            return json.loads(
                stream.read().decode("utf-8"),
                parse_float=Decimal,
                parse_constant=_refuse_constant,
            )
        except (ValueError, InvalidOperation, RecursionError) as error:
            raise ParseError(f"The body is not valid JSON: {error}") from error

"""Pagination by cursor: stable while rows are being added."""

import re
from typing import Any, ClassVar

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class NewestFirst(CursorPagination):
    """`results` newest first, with `next` and `previous` links; `limit` up to 500."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    page_size_query_description = "How many results, 1 to 500; 50 if not given."
    cursor_query_description = "Where to go on: take it from `next` or `previous`."
    ordering = "-id"
    positions: ClassVar[re.Pattern[str]] = re.compile(r"[0-9]{1,19}")
    """What the place inside a cursor looks like: a cursor is input, whatever we sent."""

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        limit = int(given) if re.fullmatch(r"[0-9]{1,5}", given) else 0
        if not 1 <= limit <= self.max_page_size:
            raise ValidationError(
                {"limit": f"Give a whole number from 1 to {self.max_page_size}."}, code="invalid"
            )
        return limit

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        bounds = {
            self.page_size_query_param: {
                "minimum": 1, "maximum": self.max_page_size, "default": self.page_size,
            },
            self.cursor_query_param: {"minLength": 1},
        }  # fmt: skip
        for parameter in parameters:
            parameter["schema"].update(bounds[parameter["name"]])
        return parameters

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor: Any = super().decode_cursor(request)
        except NotFound as error:
            raise _invalid_cursor() from error
        if cursor and not self.positions.fullmatch(cursor.position or ""):
            raise _invalid_cursor()
        return cursor


class BySymbol(NewestFirst):
    """`results` by symbol, A to Z."""

    ordering = "symbol"
    positions = re.compile(r"[A-Z0-9]{2,10}-[A-Z0-9]{2,10}")


class ByTradeId(NewestFirst):
    """`results` by trade number, the newest first."""

    ordering = "-trade_id"


def _invalid_cursor() -> ValidationError:
    return ValidationError(
        {"cursor": "Take the cursor from `next` or `previous`, or leave it out to begin anew."},
        code="invalid_cursor",
    )

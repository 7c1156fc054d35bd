"""Pagination by cursor: stable while rows are being added."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """`results` newest first, with `next` and `previous` links; `limit` up to 500."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = "-id"


class BySymbol(NewestFirst):
    """`results` by symbol, A to Z."""

    ordering = "symbol"


class ByTradeId(NewestFirst):
    """`results` by trade number, the newest first."""

    ordering = "-trade_id"

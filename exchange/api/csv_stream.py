"""Long lists as CSV: written chunk by chunk while the client reads, in bounded memory.

No transaction and no cursor of Postgres stays open in between: each chunk is a query of its own
that goes on where the one before it ended. A cell must never be a formula to a spreadsheet.
"""

import csv
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from exchange.api.errors import ClientError

CHUNK_ROWS = 1_000
EXPORTS_AT_ONCE = 2
"""In one process: each keeps a thread for as long as its client reads."""
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take the wide forms, too
_slots = threading.BoundedSemaphore(EXPORTS_AT_ONCE)


class ExportBusyError(ClientError):
    code = "export_busy"
    http_status = 503
    retry_after_seconds = 5


class Rows(Protocol):
    """What can be read in chunks: a queryset, or something that does as one."""

    def filter(self, **conditions: Any) -> "Rows": ...

    def order_by(self, *fields: str) -> "Rows": ...

    def __getitem__(self, window: slice) -> Any: ...


class CsvRenderer(BaseRenderer):
    """Lets a client ask for CSV. The view streams it, and answers all else in JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        raise AssertionError(f"CSV is streamed, and this is no stream: {data}")


def wants_csv(request: Request) -> bool:
    return getattr(getattr(request, "accepted_renderer", None), "format", "") == CsvRenderer.format


def answer_in_json(request: Request) -> None:
    """What is no list (a refusal, the answer to OPTIONS) is JSON, also where CSV was asked for."""
    if wants_csv(request):
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type


def safe_text(text: str) -> str:
    """Return `text` so that a spreadsheet shows it and does not compute it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_response(
    rows: Rows, header: Sequence[str], cells: Callable[[Any], Sequence[str]], name: str
) -> StreamingHttpResponse:
    """Answer with `rows`, newest first, each as `cells` writes it.

    Raises:
        ExportBusyError: too many are being written.
    """
    return StreamingHttpResponse(
        _Export(rows, header, cells),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


class _Export:
    """The lines, chunk by chunk; gives its slot back when it is closed, read or not."""

    _held: ClassVar[threading.BoundedSemaphore] = _slots

    def __init__(
        self, rows: Rows, header: Sequence[str], cells: Callable[[Any], Sequence[str]]
    ) -> None:
        if not self._held.acquire(blocking=False):
            raise ExportBusyError("Other exports are being written. Try again in some seconds.")
        self._closed = False
        self._cells = cells
        try:
            # The first is read at once: a store that is away is a 503, not half an answer.
            self._first = _chunk(rows, None)
        except BaseException:
            self.close()
            raise
        self._chunks = self._written(rows, header)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Called by Django when the answer has been sent, or the client has gone."""
        if not self._closed:
            self._closed = True
            self._held.release()

    def _written(self, rows: Rows, header: Sequence[str]) -> Iterator[bytes]:
        chunk = self._first
        yield _lines([header])
        while chunk:
            yield _lines(map(self._cells, chunk))
            chunk = _chunk(rows, chunk[-1].pk) if len(chunk) == CHUNK_ROWS else []


def _chunk(rows: Rows, after: int | None) -> list[Any]:
    later = rows if after is None else rows.filter(id__lt=after)
    return list(later.order_by("-id")[slice(0, CHUNK_ROWS)])


def _lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()

"""A user's ledger over HTTP: every movement, narrowed, in pages that stay, and as CSV."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import StreamingHttpResponse
from django.test.utils import CaptureQueriesContext

from balances.ledger_api import COLUMNS
from balances.models import LedgerEntry
from balances.services import deposit, withdraw
from exchange.api import csv_stream
from exchange.models import User
from orders.models import Order
from tests.api import ApiClient, refusal
from tests.support import World

LEDGER = "/balance/1/ledger"


@pytest.fixture
def history(exchange_world: World) -> World:
    """User 1: seed deposit, hold 19 USDT, 1 ADA bought at 1.5 with its release, a withdrawal."""
    world = exchange_world
    world.place(2, "sell", 1, "1.5")
    world.place(1, "buy", 10, "1.9")
    world.pump()
    withdraw(user_id=1, asset="USDT", amount=Decimal(1), note="paid out")
    return world


def entries(api: ApiClient, query: str = "", user_id: int = 1) -> list[dict[str, Any]]:
    response = api.get(f"/balance/{user_id}/ledger{query}")
    assert response.status_code == 200, response.content
    return list(response.json()["results"])


def brief(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    columns = ("kind", "asset", "available_change", "held_change", "available_after", "held_after")
    return [tuple(row[name] for name in columns) for row in rows]


def test_every_movement_is_there_with_the_balance_after_it(history: World, api: ApiClient) -> None:
    found = entries(api)
    assert brief(found) == [
        ("withdrawal", "USDT", "-1", "0", "980.4", "17.1"),
        ("release", "USDT", "0.4", "-0.4", "981.4", "17.1"),
        ("trade", "ADA", "1", "0", "1", "0"),
        ("trade", "USDT", "0", "-1.5", "981", "17.5"),
        ("hold", "USDT", "-19", "19", "981", "19"),
        ("deposit", "USDT", "1000", "0", "1000", "0"),
    ]
    order = Order.objects.get(user_id=1)
    assert {(row["order_id"], row["market"], row["trade_id"]) for row in found} == {
        (None, None, None), (order.pk, "ADA-USDT", None), (order.pk, "ADA-USDT", 1),
    }  # fmt: skip
    assert [row["note"] for row in found if row["note"]] == ["system: paid out", "seed"]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("?asset=ADA", ["trade"]),
        ("?asset=BTC", []),
        ("?asset=NOSUCH", []),
        ("?kind=trade", ["trade", "trade"]),
        ("?kind=hold", ["hold"]),
        ("?kind=trade&asset=USDT", ["trade"]),
        ("?order_id={order}", ["release", "trade", "trade", "hold"]),
        ("?order_id={order}&asset=USDT&kind=trade", ["trade"]),
        ("?order_id={of_other}", []),
        ("?from=2999-01-01T00:00:00Z", []),
        ("?to=2000-01-01T00:00:00%2B02:00", []),
        ("?from=2000-01-01T00:00:00Z&kind=deposit", ["deposit"]),
        ("?limit=2", ["withdrawal", "release"]),
    ],
)
def test_it_is_narrowed_down(history: World, api: ApiClient, query: str, kinds: list[str]) -> None:
    query = query.format(
        order=Order.objects.get(user_id=1).pk, of_other=Order.objects.get(user_id=2).pk
    )
    assert [row["kind"] for row in entries(api, query)] == kinds


def test_a_span_of_time_begins_with_its_first_moment_and_ends_before_its_last(
    history: World, api: ApiClient
) -> None:
    hold = LedgerEntry.objects.get(user_id=1, kind="hold")
    at, later = hold.created_at, hold.created_at + timedelta(microseconds=1)
    assert entries(api, f"?from={_z(at)}&to={_z(later)}")[0]["id"] == hold.pk
    assert [row["kind"] for row in entries(api, f"?to={_z(at)}")] == ["deposit"]
    assert "hold" not in [row["kind"] for row in entries(api, f"?from={_z(later)}")]


def _z(time: Any) -> str:
    return str(time.isoformat().replace("+00:00", "Z"))


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("kind=gift", "invalid_choice", "kind"),
        ("asset=%00", "invalid", "asset"),
        ("order_id=0", "too_small", "order_id"),
        ("from=yesterday", "invalid", "from"),
        ("from=2026-01-01T00:00:00", "invalid", "from"),
        ("from=2026-01-01T00:00:00+02:00", "invalid", "from"),
        ("to=2026-02-31T00:00:00Z", "invalid", "to"),
        ("to=0001-01-01T00:00:00%2B14:00", "invalid", "to"),
        ("cursor=x", "invalid_cursor", "cursor"),
        ("limit=0", "invalid", "limit"),
    ],
)
@pytest.mark.parametrize("form", ["", "&format=csv"])
def test_what_makes_no_sense_is_refused_in_json(
    history: World, api: ApiClient, query: str, code: str, field: str, form: str
) -> None:
    response = api.get(f"{LEDGER}?{query}{form}")
    if form and field in ("cursor", "limit"):
        assert response.status_code == 200  # a file has no pages
        response.close()
        return
    assert response["Content-Type"] == "application/json"
    assert refusal(response) == (400, code, field)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "HEAD"])
def test_other_methods_answer_too_where_csv_is_asked_for(
    exchange_world: World, api: ApiClient, method: str
) -> None:
    response = api.generic(method, f"{LEDGER}?format=csv")
    assert response.status_code == {"PUT": 405}.get(method, 200)
    response.close()


@pytest.mark.parametrize("form", ["", "?format=csv"])
def test_nobody_has_no_ledger(exchange_world: World, api: ApiClient, form: str) -> None:
    assert refusal(api.get(f"/balance/99/ledger{form}")) == (404, "unknown_user", "user_id")


@pytest.mark.parametrize("query", ["", "&asset=USDT", "&kind=trade"])
def test_pages_follow_each_other_and_stay_while_entries_come_in(
    history: World, api: ApiClient, query: str
) -> None:
    whole = [row["id"] for row in entries(api, f"?limit=500{query}")]
    page = api.get(f"{LEDGER}?limit=1{query}").json()
    deposit(user_id=1, asset="USDT", amount=Decimal(1))
    history.place(1, "buy", 1, "1.5")
    seen, pages = [row["id"] for row in page["results"]], [page]
    while page["next"]:
        page = api.get(page["next"]).json()
        pages.append(page)
        seen += [row["id"] for row in page["results"]]
    assert seen == whole
    for earlier, later in pairwise(pages[1:]):
        assert api.get(later["previous"]).json()["results"] == earlier["results"]


def test_a_page_costs_three_queries(history: World, api: ApiClient) -> None:
    deposit(user_id=1, asset="BTC", amount=Decimal(1))
    with CaptureQueriesContext(connection) as queries:
        assert len(entries(api)) == 7
    assert len(queries) == 3  # the user, the assets, the page


def as_csv(api: ApiClient, query: str = "?format=csv", **headers: str) -> list[dict[str, str]]:
    response: Any = api.get(f"{LEDGER}{query}", headers=headers or None)
    assert isinstance(response, StreamingHttpResponse)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="ledger-1.csv"'
    text = b"".join(response).decode()
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_says_what_the_pages_say(history: World, api: ApiClient) -> None:
    expected = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in entries(api)
    ]
    assert as_csv(api) == expected
    assert as_csv(api, "", Accept="text/csv") == expected
    assert as_csv(api, "?format=csv&asset=ADA&limit=1") == [expected[2]]
    assert as_csv(api, "?format=csv&asset=BTC") == []


def test_csv_is_read_in_chunks(
    history: World, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = as_csv(api)
    monkeypatch.setattr(csv_stream, "CHUNK_ROWS", 2)
    response = api.get(f"{LEDGER}?format=csv")
    parts = iter(response)
    lines = [next(parts), next(parts)]
    deposit(user_id=1, asset="USDT", amount=Decimal(5))  # comes too late for this file
    with CaptureQueriesContext(connection) as queries:
        lines += list(parts)
    response.close()
    text = b"".join(lines).decode()
    assert [row["id"] for row in csv.DictReader(io.StringIO(text))] == [row["id"] for row in whole]
    assert len(queries) == 3
    assert all("LIMIT 2" in query["sql"] for query in queries)


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])  # noqa: RUF001 - a wide sign
def test_no_note_is_a_formula_to_a_spreadsheet(history: World, api: ApiClient, note: str) -> None:
    boss = operator_id()
    deposit(user_id=1, asset="USDT", amount=Decimal(1), actor_id=boss, note=note)
    first = as_csv(api)[0]
    assert first["note"] == f"'{note}"
    assert first["available_change"] == "1"
    assert entries(api)[0]["note"] == note, "in JSON nothing computes it"


def operator_id() -> int:
    return User.objects.get_or_create(username="boss")[0].pk


def test_a_note_with_quotes_and_lines_stays_one_cell(history: World, api: ApiClient) -> None:
    note = 'he said "no",\r\nand left'
    deposit(user_id=1, asset="USDT", amount=Decimal(1), actor_id=operator_id(), note=note)
    assert as_csv(api)[0]["note"] == note


def test_few_files_are_written_at_once(history: World, api: ApiClient) -> None:
    running = [api.get(f"{LEDGER}?format=csv") for _ in range(csv_stream.EXPORTS_AT_ONCE)]
    busy = api.get(f"{LEDGER}?format=csv")
    assert refusal(busy) == (503, "export_busy", None)
    assert busy["Retry-After"] == "5"
    for response in running:
        response.close()  # one that was never read gives its place back, too
        response.close()
    assert len(as_csv(api)) == 6


def test_a_store_that_is_away_keeps_no_place(
    history: World, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(csv_stream, "_chunk", away)
        for _ in range(csv_stream.EXPORTS_AT_ONCE + 1):
            assert refusal(api.get(f"{LEDGER}?format=csv")) == (503, "unavailable", None)
    assert len(as_csv(api)) == 6

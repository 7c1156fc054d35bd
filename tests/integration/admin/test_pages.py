"""The admin's pages: all answer, cheaply; what the engine owns is only looked at."""

import re
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from balances.models import (
    Balance,
    CacheTrust,
    Checkpoint,
    Decrement,
    LedgerEntry,
    LogEpoch,
    MarketHalt,
    PastHalt,
    Trade,
    Transfer,
)
from balances.services import deposit
from balances.transfers import request_transfer
from exchange.admin_base import BoundedPaginator
from exchange.admin_columns import admin_url
from exchange.bridge_status import BridgeStatus
from exchange.kafka import partition_for
from exchange.models import FEE_ACCOUNT_ID, ApiKey, FeeTier, User
from orders import outbox
from orders.models import Asset, DeadManSwitch, Market, MarketChange, Order
from tests.integration.admin.support import text_of
from tests.support import World

pytestmark = pytest.mark.django_db(transaction=True)

OURS = [
    Asset,
    Market,
    MarketChange,
    Order,
    Balance,
    LedgerEntry,
    Trade,
    Decrement,
    Checkpoint,
    LogEpoch,
    MarketHalt,
    PastHalt,
    Transfer,
    DeadManSwitch,
]
READ_ONLY = [
    Transfer, Order, MarketChange, Balance, LedgerEntry, Trade, Decrement, Checkpoint, LogEpoch, MarketHalt,
    PastHalt, CacheTrust, DeadManSwitch,
]  # fmt: skip
REGISTERED = [*OURS, CacheTrust, User, FeeTier, Group, ApiKey]


@pytest.fixture
def operator(operator: Client) -> Client:
    """The operator's browser; there is also something that no check of the books would let pass."""
    buy, sell = Order.objects.order_by("pk")
    Decrement.objects.create(taker_order=sell, maker_order=buy, quantity=Decimal(1))
    return operator


def test_every_model_has_its_page() -> None:
    assert set(REGISTERED) == set(admin.site._registry)


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_lists_and_pages_answer(operator: Client, model: type[Model]) -> None:
    url = admin_url(model, "changelist")
    row = model._default_manager.first()
    assert row is not None

    listed = operator.get(url)
    assert listed.status_code == 200
    assert listed.context["cl"].result_count > 0
    assert operator.get(admin_url(model, "change", row.pk)).status_code == 200
    assert operator.get(admin_url(model, "history", row.pk)).status_code == 200
    for term in ("1", "user", "ADA", "'; \x00 %", "9" * 40):
        assert operator.get(url, {"q": term}).status_code == 200
    for spec in listed.context["cl"].filter_specs:
        for choice in spec.choices(listed.context["cl"]):
            assert operator.get(url + choice["query_string"]).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_what_the_engine_owns_is_read_only(operator: Client, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    page = admin_url(model, "change", row.pk)
    before = model._default_manager.filter(pk=row.pk).values().get()

    shown = text_of(operator.get(page))
    assert operator.get(admin_url(model, "add")).status_code == 403
    assert operator.post(page, {"available": "1", "status": "open"}).status_code == 403
    assert operator.post(admin_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403

    assert 'name="_save"' not in shown
    assert "/delete/" not in shown
    assert model._default_manager.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize(
    ("model", "term", "found"),
    [
        (Order, "1", 1),
        (Order, "user1", 1),
        (Order, "user", 2),
        (Order, "mine-1", 1),
        (Order, "nobody", 0),
        (Balance, "usdt", 2),
        (Balance, "user2", 2),
        (LedgerEntry, "seed", 2),
        (Trade, "2", 1),
        (Transfer, "wire-5", 1),
        (Transfer, "user2", 1),
        (Transfer, "user1", 0),
        (User, "user2", 1),
    ],
)
def test_searches_find(operator: Client, model: type[Model], term: str, found: int) -> None:
    first = Order.objects.order_by("pk").values_list("pk", flat=True)[0]
    if model in {Order, Trade} and term.isdecimal():
        term = str(first + int(term) - 1)

    listed = operator.get(admin_url(model, "changelist"), {"q": term})

    assert listed.context["cl"].result_count == found


def test_amounts_are_plain(operator: Client) -> None:
    for model in (Order, Balance, LedgerEntry, Trade, Market):
        page = re.sub(r"<[^>]*>", "", text_of(operator.get(admin_url(model, "changelist"))))
        assert not re.search(r"\.\d*0{6}\b", page)
    order = Order.objects.get(user_id=1)
    page = text_of(operator.get(admin_url(Order, "change", order.pk)))
    assert ">1.9<" in re.sub(r"\s+", "", page)


@pytest.mark.parametrize("model", [Order, Balance, LedgerEntry, Trade, Transfer])
def test_lists_ask_no_more_for_more_rows(
    operator: Client, exchange_world: World, model: type[Model]
) -> None:
    url = admin_url(model, "changelist")
    operator.get(url)
    with CaptureQueriesContext(
        connection,
    ) as few:
        before = operator.get(url).context["cl"].result_count

    for number in range(6):
        user = User.objects.create_user(f"more{number}")
        deposit(user_id=user.pk, asset="ADA", amount=Decimal(5))
        request_transfer(
            user_id=user.pk, kind="withdrawal", asset="ADA", amount=Decimal(1),
            external_reference="w", actor_id=user.pk,
        )  # fmt: skip
        exchange_world.place(user.pk, "sell", 1, "1.9")
    exchange_world.pump()
    with CaptureQueriesContext(connection) as many:
        after = operator.get(url).context["cl"].result_count

    assert after >= before + 6
    assert len(many) == len(few)


def test_count_of_a_long_list_stops(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedPaginator, "limit", 2)

    with CaptureQueriesContext(connection) as queries:
        page = text_of(operator.get(admin_url(LedgerEntry, "changelist")))

    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert all("LIMIT 2" in sql for sql in counts)
    assert "or more: narrow them" in page


def test_market_keeps_its_sizes(operator: Client, exchange_world: World) -> None:
    page = admin_url(Market, "change", "ADA-USDT")
    sent = {
        "symbol": "X-USDT",
        "base": "SOL",
        "tick_size": "5",
        "lot_size": "5",
        "maker_fee_rate": "0",
        "taker_fee_rate": "0",
        "state": "halted",
        "state_reason": "maintenance",
    }

    assert operator.post(page, sent).status_code == 302

    assert Market.objects.get(pk="ADA-USDT").state == "open", "the log has to confirm it"
    outbox.flush()
    exchange_world.pump()
    change = MarketChange.objects.latest("pk")
    assert (change.actor, change.reason) == (User.objects.get(username="operator"), "maintenance")
    market = Market.objects.get(pk="ADA-USDT")
    assert (market.tick_size, market.lot_size) == (Decimal("0.0001"), Decimal("0.01"))
    assert (market.base_id, market.state) == ("ADA", "halted")
    assert market.state_reason == "maintenance"


def test_halt_needs_a_reason(operator: Client) -> None:
    sent = {"state": "halted", "state_reason": ""}
    answer = operator.post(admin_url(Market, "change", "ADA-USDT"), sent)

    assert "Say why: the reason is shown to everybody." in text_of(answer)
    assert Market.objects.get(pk="ADA-USDT").state == "open"


def test_market_that_is_not_settled_stays_halted(operator: Client) -> None:
    Market.objects.filter(pk__in=["BTC-USDT", "ETH-USDT"]).update(state="halted")
    Checkpoint.objects.filter(pk=partition_for("ETH")).update(halted_reason="a promise is broken")

    for symbol, reason in (("BTC-USDT", "a gap"), ("ETH-USDT", "a promise is broken")):
        sent = {"state": "open", "state_reason": "all is well"}
        answer = operator.post(admin_url(Market, "change", symbol), sent)
        assert reason in text_of(answer)
        assert Market.objects.get(pk=symbol).state == "halted"


def test_market_can_be_made(operator: Client) -> None:
    sent = {
        "symbol": "SOL-BTC",
        "base": "SOL",
        "quote": "BTC",
        "state": "open",
        "tick_size": "0.000001",
        "lot_size": "0.01",
        "maker_fee_rate": "0",
        "taker_fee_rate": "0.001",
    }
    wrong = operator.post(admin_url(Market, "add"), sent | {"lot_size": "0.00000001"})
    assert "multiple" in text_of(wrong)
    assert operator.post(admin_url(Market, "add"), sent).status_code == 302
    assert Market.objects.get(pk="SOL-BTC").tick_size == Decimal("0.000001")


def test_front_page_tells_how_it_is(operator: Client) -> None:
    page = re.sub(r"\s+", " ", text_of(operator.get("/admin/")))

    assert "Partially Filled orders" in page
    assert "not settled from offset 7 on: a gap" in page
    assert "not ready" in page  # no bridge runs here
    assert "bridge matching" in page


def test_front_page_shows_only_what_one_may_see(clerk: Client) -> None:
    page = text_of(clerk.get("/admin/"))

    assert "orders</p>" not in page
    assert "Checkpoints" not in page


def test_a_user_gets_a_fee_tier_and_a_market_its_fees(operator: Client) -> None:
    tier = FeeTier.objects.get()
    page = operator.get(admin_url(User, "change", 2))
    sent = {"username": "user2", "is_active": "on", "fee_tier": tier.pk}
    for formset in page.context["inline_admin_formsets"]:
        form = formset.formset.management_form
        sent |= {form.add_prefix(name): str(form[name].value()) for name in form.fields}
    assert operator.post(admin_url(User, "change", 2), sent).status_code == 302
    assert User.objects.get(pk=2).fee_tier == tier

    fees = {"maker_fee_rate": "0.001", "taker_fee_rate": "0.00250001", "state": "open"}
    assert operator.post(admin_url(Market, "change", "ADA-USDT"), fees).status_code == 302
    market = Market.objects.get(pk="ADA-USDT")
    assert (market.maker_fee_rate, market.taker_fee_rate) == (
        Decimal("0.001"), Decimal("0.00250001"),
    )  # fmt: skip
    wrong = operator.post(admin_url(Market, "change", "ADA-USDT"), fees | {"maker_fee_rate": "1"})
    assert wrong.status_code == 200
    assert "market_fee_rates_are_shares" in text_of(wrong)


def test_who_may_not_change_tiers_does_not_give_them(clerk: Client) -> None:
    tier = FeeTier.objects.create(name="best", maker_rate=0, taker_rate=0)
    sent = {"username": "user2", "is_active": "on", "fee_tier": tier.pk}
    assert clerk.post(admin_url(User, "change", 2), sent).status_code == 302
    assert User.objects.get(pk=2).fee_tier is None


def test_the_fee_account_is_not_changed_but_its_money_is_withdrawn(operator: Client) -> None:
    page = admin_url(User, "change", FEE_ACCOUNT_ID)
    shown = text_of(operator.get(page))
    assert 'name="_save"' not in shown
    assert "withdraw" in shown
    assert operator.post(page, {"username": "fees", "is_active": "on"}).status_code == 403
    assert not User.objects.get(pk=FEE_ACCOUNT_ID).is_active


def test_the_front_page_says_which_worker_is_away(operator: Client) -> None:
    status = BridgeStatus("trades")
    status.report("running", partitions=[0, 1, 2], lag={})
    page = re.sub(r"\s+", " ", text_of(operator.get("/admin/")))
    status.report("stopped")
    assert "No matching worker has reported for 10 s." in page
    assert "No running trades worker reads partition 3." in page

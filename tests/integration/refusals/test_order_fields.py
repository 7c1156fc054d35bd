"""What the order service refuses: with a stable code, the field at fault, and nothing changed.

Every test runs between two looks at everything Postgres, Redis and Kafka hold (`refusing`).
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from orders.models import Market
from orders.rules import MAX_STOPS_OF_USER, Wish, require_allowed
from tests.api import FULL, SHORT, ApiClient, refusal
from tests.support import World


def test_an_unknown_user_is_refused(refusing: ApiClient) -> None:
    assert refusal(refusing.order(user_id=77)) == (422, "unknown_user", "user_id")


def test_an_unknown_asset_is_refused(refusing: ApiClient) -> None:
    assert refusal(refusing.order(asset="DOGE")) == (422, "unknown_asset", "asset")


def test_an_asset_without_a_market_is_refused(refusing: ApiClient) -> None:
    assert refusal(refusing.order(asset="USDT")) == (422, "unknown_market", "asset")


def test_an_unknown_market_is_refused(refusing: ApiClient) -> None:
    response = refusing.send(json.dumps(FULL | {"market": "ADA-ETH"}))
    assert refusal(response) == (422, "unknown_market", "market")


def test_an_insufficient_balance_is_refused(refusing: ApiClient) -> None:
    assert refusal(refusing.order(quantity=1_000)) == (422, "insufficient_balance", None)


def test_an_asset_the_user_has_never_had_is_not_enough_either(refusing: ApiClient) -> None:
    response = refusing.order(user_id=2, asset="BTC", order_type="sell")
    assert refusal(response) == (422, "insufficient_balance", None)


def test_a_halted_market_takes_no_orders(lasting_world: World, refusing: ApiClient) -> None:
    Market.objects.filter(pk="ADA-USDT").update(state="halted")
    short, full = refusing.order(), refusing.send(json.dumps(FULL))
    Market.objects.filter(pk="ADA-USDT").update(state="open")
    assert refusal(short) == (422, "market_halted", "asset")
    assert refusal(full) == (422, "market_halted", "market")


@pytest.mark.parametrize("time_in_force", ["ioc", "fok"])
def test_a_post_only_order_that_may_not_rest_is_refused(
    refusing: ApiClient, time_in_force: str
) -> None:
    response = refusing.order(time_in_force=time_in_force, post_only=True)
    assert refusal(response) == (422, "post_only_needs_gtc", "post_only")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"time_in_force": "gtd"}, "expires_at_missing"),
        ({"expires_at": "2090-01-31T12:00:00Z"}, "expires_at_needs_gtd"),
        ({"time_in_force": "ioc", "expires_at": "2090-01-31T12:00:00Z"}, "expires_at_needs_gtd"),
        (
            {"time_in_force": "gtd", "expires_at": "2020-01-31T12:00:00Z"},
            "expires_at_not_in_future",
        ),
    ],
)
def test_an_order_that_does_not_say_rightly_when_it_expires_is_refused(
    refusing: ApiClient, changes: dict[str, str], code: str
) -> None:
    assert refusal(refusing.order(**changes)) == (422, code, "expires_at")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "stop_limit"}, "stop_price_missing"),
        ({"stop_price": "1.9"}, "stop_price_needs_stop"),
        ({"type": "limit", "stop_price": "1.9"}, "stop_price_needs_stop"),
        ({"type": "stop_limit", "stop_price": 0}, "stop_price_not_positive"),
        ({"type": "stop_limit", "stop_price": "1.90001"}, "stop_price_not_on_tick"),
    ],
)
def test_an_order_that_does_not_say_rightly_what_it_waits_for_is_refused(
    refusing: ApiClient, changes: dict[str, Any], code: str
) -> None:
    assert refusal(refusing.order(**changes)) == (422, code, "stop_price")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"visible_quantity": 0}, "visible_quantity_not_positive"),
        ({"visible_quantity": "0.001"}, "visible_quantity_not_on_lot"),
        ({"visible_quantity": 10}, "visible_quantity_not_below_quantity"),
        ({"visible_quantity": 11}, "visible_quantity_not_below_quantity"),
        ({"visible_quantity": "0.09"}, "visible_quantity_too_small"),
        ({"visible_quantity": 1, "time_in_force": "ioc"}, "iceberg_needs_gtc"),
        ({"visible_quantity": 1, "time_in_force": "fok"}, "iceberg_needs_gtc"),
        (
            {"visible_quantity": 1, "type": "stop_limit", "stop_price": "1.9"},
            "iceberg_needs_gtc",
        ),
    ],
)
def test_an_iceberg_that_is_none_is_refused(
    refusing: ApiClient, changes: dict[str, Any], code: str
) -> None:
    assert refusal(refusing.order(**changes)) == (422, code, "visible_quantity")


def test_an_iceberg_may_have_a_hundred_parts(lasting_world: World, refusing: ApiClient) -> None:
    response = refusing.order(visible_quantity=10, quantity=1000)
    assert refusal(response) == (422, "insufficient_balance", None)
    response = refusing.order(visible_quantity=10, quantity="1000.01")
    assert refusal(response) == (422, "visible_quantity_too_small", "visible_quantity")


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [
        ("4.99", "1.9", "quantity_too_small"),
        ("5", "1.9", None),
        ("8", "1.9", None),
        ("8.01", "1.9", "quantity_too_large"),
        ("5", "1.2", None),
        ("5", "1.1999", "notional_too_small"),
    ],
)
def test_a_market_bounds_its_orders(
    lasting_world: World, refusing: ApiClient, quantity: str, price: str, code: str | None
) -> None:
    market = Market.objects.filter(pk="ADA-USDT")
    market.update(min_quantity=5, max_quantity=8, min_notional=6)
    try:
        if code is None:
            wish = Wish(1, "ADA-USDT", "buy", Decimal(price), Decimal(quantity))
            assert require_allowed(wish, market.get()).pk == "ADA-USDT"
        else:
            response = refusing.order(quantity=quantity, price=price)
            assert refusal(response) == (422, code, "quantity")
    finally:
        market.update(min_quantity=None, max_quantity=None, min_notional=None)


BY_AMOUNT = {"type": "market", "price": None, "quantity": None}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        # The last trade was at 1.9: from 1.71 to 2.09 with a band of a tenth.
        ({"price": "2.0901"}, "price_outside_band", "price"),
        ({"price": "2.09", "quantity": 1000}, "insufficient_balance", None),
        ({"price": "0.0001", "quantity": 100_000_000}, "insufficient_balance", None),
        ({"order_type": "sell", "price": "1.7099"}, "price_outside_band", "price"),
        ({"order_type": "sell", "price": "1.71", "quantity": 1000}, "insufficient_balance", None),
        ({"order_type": "sell", "price": 99, "quantity": 1000}, "insufficient_balance", None),
        ({"price": "2.0901", "time_in_force": "ioc"}, "price_outside_band", "price"),
        ({"type": "market"}, "market_order_has_price", "price"),
        ({"type": "market", "price": None, "quantity": 1000}, "insufficient_balance", None),
        ({"type": "market", "price": None, "quantity": "0.001"}, "quantity_not_on_lot", "quantity"),
        ({"type": "market", "price": None, "quantity": 0}, "quantity_not_positive", "quantity"),
        ({"type": "market", "price": None, "quantity": 10**20 - 1}, "order_too_large", "quantity"),
        *(
            (
                {"type": "market", "price": None, "time_in_force": time_in_force},
                "market_order_needs_ioc",
                "time_in_force",
            )
            for time_in_force in ("gtc", "fok", "gtd")
        ),
        ({"type": "market", "price": None, "post_only": True}, "post_only_needs_gtc", "post_only"),
        (
            {"type": "market", "price": None, "expires_at": "2090-01-31T12:00:00Z"},
            "expires_at_needs_gtd",
            "expires_at",
        ),
        ({"type": "market", "price": None, "stop_price": 2}, "stop_price_needs_stop", "stop_price"),
        # The band of a stop order is around its stop price: up to 3.3.
        ({"type": "stop_limit", "stop_price": 3, "price": "3.3001"}, "price_outside_band", "price"),
        (
            {"type": "stop_limit", "stop_price": 3, "price": "3.3", "quantity": 1000},
            "insufficient_balance",
            None,
        ),
        ({"type": "stop_market", "price": None}, "stop_price_missing", "stop_price"),
        ({"type": "stop_market", "stop_price": 3}, "market_order_has_price", "price"),
        (
            {"type": "stop_market", "price": None, "stop_price": 3, "time_in_force": "gtc"},
            "market_order_needs_ioc",
            "time_in_force",
        ),
        (
            {**BY_AMOUNT, "type": "stop_market", "quantity": 1, "stop_price": 3, "quote_amount": 5},
            "quote_amount_needs_market_order",
            "quote_amount",
        ),
        (
            {"type": "stop_market", "price": None, "stop_price": 3, "quantity": 1000},
            "insufficient_balance",
            None,
        ),
        (
            {"type": "market", "price": None, "visible_quantity": 1},
            "iceberg_needs_gtc",
            "visible_quantity",
        ),
        (
            {"type": "market", "price": None, "asset": "SOL"},
            "no_reference_price",
            "type",
        ),
        ({"quote_amount": 5}, "quote_amount_needs_market_order", "quote_amount"),
        (
            {"type": "market", "price": None, "quote_amount": 5},
            "quote_amount_with_quantity",
            "quote_amount",
        ),
        *(
            ({**BY_AMOUNT, **changes}, f"quote_amount_{code}", "quote_amount")
            for changes, code in (
                ({"order_type": "sell", "quote_amount": 5}, "needs_buy"),
                ({"quote_amount": 0}, "not_positive"),
                ({"quote_amount": -1}, "not_positive"),
                ({"quote_amount": "5.0000001"}, "not_on_step"),
                ({"quote_amount": "0.017099"}, "too_small"),  # 0.01 at 1.71 costs 0.0171
            )
        ),
        ({**BY_AMOUNT, "quote_amount": 1000}, "insufficient_balance", None),
        ({**BY_AMOUNT, "quote_amount": 5, "asset": "SOL"}, "no_reference_price", "type"),
    ],
)
def test_a_market_with_a_price_band_refuses(
    lasting_world: World,
    refusing: ApiClient,
    changes: dict[str, Any],
    code: str,
    field: str | None,
) -> None:
    Market.objects.update(price_band="0.1")
    try:
        assert refusal(refusing.order(**changes)) == (422, code, field)
        batch = {"orders": [{**SHORT, **changes}]}
        batch["orders"] = [
            {name: value for name, value in one.items() if value is not None}
            for one in batch["orders"]
        ]
        answer = refusing.post("/orders/batch", batch, content_type="application/json").json()
        error = answer["results"][0]["error"]
        assert (error["code"], error["field"]) == (code, field)
    finally:
        Market.objects.update(price_band=None)


def test_a_market_without_a_price_band_takes_no_market_order(refusing: ApiClient) -> None:
    response = refusing.order(type="market", price=None)
    assert refusal(response) == (422, "no_price_band", "type")


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        ({"min_quantity": 0}, "market_min_quantity_positive"),
        ({"max_quantity": 0}, "market_max_quantity_not_below_min"),
        ({"min_quantity": 2, "max_quantity": 1}, "market_max_quantity_not_below_min"),
        ({"min_notional": 0}, "market_min_notional_positive"),
        ({"price_band": 0}, "market_price_band_is_share"),
        ({"price_band": 1}, "market_price_band_is_share"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_by_the_database(
    lasting_world: World, rules: dict[str, int], name: str
) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Market.objects.filter(pk="ADA-USDT").update(**rules)


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "{}_not_positive"),
        ("-0", "{}_not_positive"),
        ("0e5", "{}_not_positive"),
        ("0.000000000000000000", "{}_not_positive"),
        ("-1", "{}_not_positive"),
        ("-0.0000000000000001", "{}_not_positive"),
    ],
)
@pytest.mark.parametrize("field", ["quantity", "price"])
def test_an_amount_that_is_not_positive_is_refused(
    refusing: ApiClient, field: str, amount: str, code: str
) -> None:
    for written in (amount, f'"{amount}"'):
        response = refusing.send(_with(field, written))
        assert refusal(response) == (422, code.format(field), field)


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        # a step beside the tick or the lot, down to the last digit a column holds
        ("1.00000000000000001", 422, "off_step"),
        ("1.900000000000000001", 422, "off_step"),
        ("0.000000000000000001", 422, "off_step"),
        ("1E-18", 422, "off_step"),
        # more digits than a column holds: never rounded
        ("1.9000000000000000001", 400, "too_precise"),
        ("1e-19", 400, "too_precise"),
        ("1e-400", 400, "too_precise"),
        ("0." + "0" * 60 + "1", 400, "too_precise"),
        # larger than a column holds
        ("100000000000000000000", 400, "too_large"),
        ("1e20", 400, "too_large"),
        ("1e400", 400, "too_large"),
        ("9" * 5_000, 400, "too_large"),
        ("-1e20", 400, "too_large"),
        # fits a column, but the value of the order does not
        ("99999999999999999999", 422, "order_too_large"),
    ],
)
@pytest.mark.parametrize("field", ["quantity", "price"])
def test_an_amount_that_is_too_precise_or_huge_is_refused(
    refusing: ApiClient, field: str, amount: str, status: int, code: str
) -> None:
    step = {"quantity": "quantity_not_on_lot", "price": "price_not_on_tick"}[field]
    at_fault = "quantity" if code == "order_too_large" else field
    for written in (amount, f'"{amount}"'):
        response = refusing.send(_with(field, written))
        assert refusal(response) == (status, step if code == "off_step" else code, at_fault)


@pytest.mark.parametrize(
    "written",
    [
        "true", "false", "[]", "[1]", "{}", '{"value": 1}', '""', '" "', '" 1 "', '"1 "', '"1\\n"',
        '"+1"', '"1_000"', '"1,5"', '"1,000"', '"0x10"', '"1.9.1"', '"1."', '".5"', '"--1"', '"1e"',
        '"e1"', '"1e9999999"', '"\u0661"', '"\uff11"', '"NaN"', '"-NaN"', '"sNaN"', '"Infinity"',
        '"-inf"', '"ten"', '"\\u0000"', '"1\\u0000"', '"\\ud800"', '"1.9 USDT"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["quantity", "price"])
def test_what_is_not_a_plain_number_is_refused(
    refusing: ApiClient, field: str, written: str
) -> None:
    assert refusal(refusing.send(_with(field, written))) == (400, "invalid", field)


@pytest.mark.parametrize("field", ["quantity", "price", "user_id"])
def test_a_missing_or_null_field_is_required(refusing: ApiClient, field: str) -> None:
    assert refusal(refusing.order(**{field: None})) == (400, "required", field)
    assert refusal(refusing.send(_with(field, "null"))) == (400, "required", field)


@pytest.mark.parametrize(
    ("field", "written", "code"),
    [
        ("user_id", "0", "too_small"),
        ("user_id", "-1", "too_small"),
        ("user_id", "9223372036854775808", "too_large"),
        ("user_id", "9" * 5_000, "invalid"),
        ("user_id", "1.0", "invalid"),
        ("user_id", "1e0", "invalid"),
        ("user_id", "true", "invalid"),
        ("user_id", '"1_0"', "invalid"),
        ("user_id", '" 1"', "invalid"),
        ("user_id", '"\u0661"', "invalid"),
        ("user_id", '"me"', "invalid"),
        ("user_id", '"\\u0000"', "invalid"),
        ("user_id", "[1]", "invalid"),
        ("asset", '""', "required"),
        ("asset", '"ABCDEFGHIJK"', "too_long"),
        ("asset", '"ADA\\u0000"', "invalid"),
        ("asset", '"\\ud800"', "invalid"),
        ("asset", "7", "unknown_asset"),
        ("asset", '"ada"', "unknown_asset"),
        ("asset", '" ADA"', "unknown_asset"),
        ("asset", '"ADA-BTC"', "unknown_asset"),
        ("asset", "{}", "invalid"),
        ("asset", "true", "invalid"),
        ("order_type", '"hold"', "invalid_choice"),
        ("order_type", '"BUY"', "invalid_choice"),
        ("order_type", '""', "invalid_choice"),
        ("order_type", "1", "invalid_choice"),
        ("order_type", '["buy"]', "invalid_choice"),
        ("order_type", '"\\ud800"', "invalid_choice"),
        ("order_type", '"\\u0000"', "invalid_choice"),
        ("order_type", f'"{"x" * 60_000}"', "invalid_choice"),
        ("type", '"Market"', "invalid_choice"),
        ("time_in_force", '"day"', "invalid_choice"),
        ("time_in_force", '"IOC"', "invalid_choice"),
        ("time_in_force", "null", "required"),
        ("expires_at", "null", "required"),
        ("expires_at", "1900000000", "invalid"),
        ("expires_at", '"2090-01-31"', "invalid"),
        ("expires_at", '"2090-01-31T12:00:00"', "invalid"),
        ("expires_at", '"2090-02-31T12:00:00Z"', "invalid"),
        ("visible_quantity", "null", "required"),
        ("visible_quantity", "true", "invalid"),
        ("visible_quantity", '"1,5"', "invalid"),
        ("post_only", '"true"', "invalid"),
        ("post_only", "1", "invalid"),
        ("post_only", "null", "required"),
        ("self_trade_prevention", '"cancel"', "invalid_choice"),
        ("self_trade_prevention", "true", "invalid_choice"),
        ("self_trade_prevention", "null", "required"),
        ("client_order_id", '""', "required"),
        ("client_order_id", '"a b"', "invalid"),
        ("client_order_id", '"a\\n"', "invalid"),
        ("client_order_id", '" a"', "invalid"),
        ("client_order_id", f'"{"x" * 65}"', "invalid"),
        ("client_order_id", '"\\u0000"', "invalid"),
        ("client_order_id", '"\\ud800"', "invalid"),
        ("client_order_id", '"\u00e9"', "invalid"),
        ("client_order_id", "[]", "invalid"),
        ("client_order_id", "0", "invalid"),
    ],
)
def test_a_field_that_is_not_as_it_should_be_is_refused(
    refusing: ApiClient, field: str, written: str, code: str
) -> None:
    response = refusing.send(_with(field, written))
    assert refusal(response) == (422 if code.startswith("unknown") else 400, code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"market": "ADA-USDT"}, "ambiguous", "asset"),
        ({"asset": None}, "required", "market"),
        ({"side": "sell"}, "ambiguous", "side"),
        ({"order_type": None}, "required", "order_type"),
        ({"asset": None, "market": "ADA-USDT", "order_type": None}, "required", "side"),
    ],
)
def test_both_forms_at_once_or_neither_are_refused(
    refusing: ApiClient, changes: dict[str, Any], code: str, field: str
) -> None:
    assert refusal(refusing.order(**changes)) == (400, code, field)


def test_every_mistake_is_listed(refusing: ApiClient) -> None:
    response = refusing.order(user_id=0, quantity="x", price=None)
    assert refusal(response)[0] == 400
    found = {error["field"]: error["code"] for error in response.json()["errors"]}
    assert found == {"user_id": "too_small", "quantity": "invalid", "price": "required"}


def _with(field: str, written: str) -> str:
    """The short form with one value just as `written`."""
    rest = json.dumps({name: value for name, value in SHORT.items() if name != field})
    return f'{rest[:-1]}, "{field}": {written}}}'


def test_a_user_has_so_many_stop_orders_on_a_market(api: ApiClient) -> None:
    stop = {
        "user_id": 1, "market": "ADA-USDT", "side": "buy", "type": "stop_limit", "quantity": "0.01",
        "price": "1", "stop_price": "9",
    }  # fmt: skip
    limit = MAX_STOPS_OF_USER
    batch = {"orders": [stop] * (limit - 1)}
    api.post("/orders/batch", json.dumps(batch), content_type="application/json")
    batch = {"orders": [stop] * 3}
    answer = api.post("/orders/batch", json.dumps(batch), content_type="application/json").json()
    codes = [result.get("error", {}).get("code") for result in answer["results"]]
    assert codes == [None, "too_many_stop_orders", "too_many_stop_orders"]

    refused = api.send(json.dumps(stop))
    assert refusal(refused) == (422, "too_many_stop_orders", "stop_price")
    assert api.send(json.dumps(stop | {"market": "ADA-BTC", "price": "0.0001", "stop_price": "1"}))
    other = stop | {"user_id": 2, "side": "sell", "stop_price": "0.5"}
    assert api.send(json.dumps(other)).status_code == 201

"""The records on the log: what is not exactly one of them is refused, and nothing is guessed."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from exchange.records import (
    Amended,
    AmendmentRefused,
    AmendOrder,
    CancelOrder,
    ChangeMarket,
    Execution,
    MarketChanged,
    NewOrder,
    RecordError,
    SelfTrade,
    Trade,
    TriggerOrder,
    decode_order_event,
    decode_trade_event,
    encode,
)

NEW = NewOrder(
    order_id=1, user_id=2, market="ADA-USDT", side="buy", order_type="limit", time_in_force="gtc",
    price="1.9", quantity="10", created_at="2026-01-01T00:00:00+00:00", request_id="r-1",
)  # fmt: skip
CANCEL = CancelOrder(
    order_id=1, user_id=2, market="ADA-USDT", created_at="2026-01-01T00:00:00+00:00"
)
TRIGGER = TriggerOrder(
    order_id=1, user_id=2, market="ADA-USDT", created_at="2026-01-01T00:00:00+00:00"
)
STOP = msgspec.structs.replace(NEW, order_type="stop_limit", stop_price="1.95")
CHANGE = ChangeMarket(
    change_id=3, market="ADA-USDT", state="cancel_only", created_at="2026-01-01T00:00:00+00:00"
)
CHANGED = MarketChanged(
    market="ADA-USDT", epoch=1, offset=5, previous_offset=4, change_id=3, state="halted"
)
TRADE = Trade(
    trade_id=1, buy_order_id=1, sell_order_id=3, maker_user_id=2, taker_side="sell", price="1.9",
    quantity="4",
)  # fmt: skip
EXECUTION = Execution(
    event="new", market="ADA-USDT", epoch=1, offset=5, previous_offset=4, order_id=3, user_id=7,
    side="sell", price="1.5", status="filled", trades=(TRADE,), prevented_quantity="2",
    self_trades=(
        SelfTrade(maker_order_id=1, price="1.9", quantity="2", effect="decremented"),
    ),
)  # fmt: skip
AMEND = AmendOrder(
    amendment_id=4, order_id=1, user_id=2, market="ADA-USDT", price="1.9", quantity="12",
    quantity_before="10", held="3.8", created_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip
AMENDED = msgspec.structs.replace(
    EXECUTION,
    event="amend",
    amended=Amended(
        amendment_id=4, price_before="1.9", quantity_before="10", remaining_before="6",
        quantity="12", held="3.8", last_trade_id=0, moved=True,
    ),
)  # fmt: skip
REFUSED = AmendmentRefused(
    market="ADA-USDT", epoch=1, offset=5, previous_offset=4, amendment_id=4, order_id=1, user_id=2,
    side="buy", held="3.8", reason="not_in_book",
)  # fmt: skip

Decode = Callable[[bytes], Any]
RECORDS = [
    pytest.param(NEW, decode_order_event, id="new"),
    pytest.param(STOP, decode_order_event, id="stop"),
    pytest.param(TRIGGER, decode_order_event, id="trigger"),
    pytest.param(CANCEL, decode_order_event, id="cancel"),
    pytest.param(CHANGE, decode_order_event, id="change"),
    pytest.param(EXECUTION, decode_trade_event, id="execution"),
    pytest.param(AMEND, decode_order_event, id="amend"),
    pytest.param(CHANGED, decode_trade_event, id="changed"),
    pytest.param(AMENDED, decode_trade_event, id="amended"),
    pytest.param(REFUSED, decode_trade_event, id="amendment refused"),
]


def fields_of(record: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(encode(record))
    return fields


def refused(decode: Decode, fields: Any) -> None:
    with pytest.raises(RecordError):
        decode(json.dumps(fields).encode())


@pytest.mark.parametrize(("record", "decode"), RECORDS)
def test_what_is_encoded_is_decoded_to_the_same(record: Any, decode: Decode) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize(("record", "decode"), RECORDS)
def test_the_same_record_has_the_same_bytes(record: Any, decode: Decode) -> None:
    assert encode(decode(encode(record))) == encode(record)


def test_the_bytes_on_the_log_do_not_change() -> None:
    assert encode(CANCEL) == (
        b'{"type":"cancel","v":1,"order_id":1,"user_id":2,"market":"ADA-USDT",'
        b'"created_at":"2026-01-01T00:00:00+00:00","request_id":"","reason":""}'
    )


def test_a_cancel_from_before_orders_expired_has_no_reason() -> None:
    fields = fields_of(CANCEL)
    del fields["reason"]
    assert decode_order_event(json.dumps(fields).encode()) == CANCEL
    refused(decode_order_event, fields | {"reason": "boredom"})


@pytest.mark.parametrize(("record", "decode"), RECORDS)
def test_an_unknown_field_is_refused(record: Any, decode: Decode) -> None:
    refused(decode, fields_of(record) | {"surprise": 1})


def test_a_new_order_from_before_there_were_rules_has_none() -> None:
    fields = fields_of(NEW)
    for name in ("post_only", "self_trade_prevention", "expires_at", "quote_amount", "stop_price"):
        del fields[name]
    old = decode_order_event(json.dumps(fields).encode())
    assert isinstance(old, NewOrder)
    assert (old.time_in_force, old.post_only, old.self_trade_prevention) == ("gtc", False, "none")


def test_an_execution_from_before_there_were_rules_has_prevented_nothing() -> None:
    fields = fields_of(EXECUTION)
    for name in ("self_trades", "prevented_quantity", "elected"):
        del fields[name]
    old = decode_trade_event(json.dumps(fields).encode())
    assert isinstance(old, Execution)
    assert (old.self_trades, old.prevented_quantity, old.elected) == ((), "0", ())


def test_records_from_before_there_were_icebergs_hide_nothing_and_put_nobody_back() -> None:
    new, executed = fields_of(NEW), fields_of(EXECUTION)
    del new["visible_quantity"], executed["requeued"]
    assert decode_order_event(json.dumps(new).encode()) == NEW
    assert decode_trade_event(json.dumps(executed).encode()) == EXECUTION


@pytest.mark.parametrize("quantity", ["0.5", "4", ""])
def test_a_visible_quantity_is_a_decimal_or_empty(quantity: str) -> None:
    order = decode_order_event(json.dumps(fields_of(NEW) | {"visible_quantity": quantity}).encode())
    assert isinstance(order, NewOrder)
    assert order.visible_quantity == quantity


@pytest.mark.parametrize("quantity", [" ", "-1", ".5", "4.", "4\n", "\n", 4])
def test_any_other_visible_quantity_is_refused(quantity: str | int) -> None:
    refused(decode_order_event, fields_of(NEW) | {"visible_quantity": quantity})


def test_an_execution_names_the_orders_that_stand_elsewhere() -> None:
    fields = fields_of(EXECUTION)
    put_back = decode_trade_event(json.dumps(fields | {"requeued": [9, 4]}).encode())
    assert isinstance(put_back, Execution)
    assert put_back.requeued == (9, 4)
    refused(decode_trade_event, fields | {"requeued": [0]})
    refused(decode_trade_event, fields | {"requeued": ["9"]})


def test_an_unknown_field_inside_a_trade_is_refused() -> None:
    fields = fields_of(EXECUTION)
    fields["trades"][0]["surprise"] = 1
    refused(decode_trade_event, fields)


@pytest.mark.parametrize(("record", "decode"), RECORDS)
def test_every_missing_field_without_a_default_is_refused(record: Any, decode: Decode) -> None:
    optional = {
        "v", "request_id", "reason", "canceled_quantity", "trades", "self_trades",
        "prevented_quantity", "elected", "post_only", "self_trade_prevention", "maker_fee_rate",
        "taker_fee_rate", "expires_at", "quote_amount", "stop_price", "visible_quantity", "requeued",
        "amended",
    }  # fmt: skip
    fields = fields_of(record)
    if decode is decode_trade_event:
        optional.add("type")  # nothing else is on that topic, so msgspec does not ask for it
    for name in set(fields) - optional:
        refused(decode, {other: value for other, value in fields.items() if other != name})


@pytest.mark.parametrize(("record", "decode"), RECORDS)
def test_null_is_no_value_of_any_field(record: Any, decode: Decode) -> None:
    for name in fields_of(record):
        refused(decode, fields_of(record) | {name: None})


@pytest.mark.parametrize(("record", "decode"), RECORDS)
@pytest.mark.parametrize("version", [0, 2, "1", 1.5, True])
def test_an_unknown_version_is_refused(record: Any, decode: Decode, version: Any) -> None:
    refused(decode, fields_of(record) | {"v": version})


@pytest.mark.parametrize(("record", "decode"), RECORDS)
@pytest.mark.parametrize("tag", ["", "trade", "NEW", 1, None])
def test_a_record_of_another_kind_is_refused(record: Any, decode: Decode, tag: Any) -> None:
    refused(decode, fields_of(record) | {"type": tag})


def test_a_record_of_the_other_topic_is_refused() -> None:
    refused(decode_trade_event, fields_of(NEW))
    refused(decode_order_event, fields_of(EXECUTION))


@pytest.mark.parametrize("field", ["price", "quantity"])
@pytest.mark.parametrize(
    "amount",
    [
        1.9, 10, -1, "-1", "+1", "", " 1", "1 ", "1\n", "1.", ".5", "1e1", "1_0", "NaN", "Infinity",
        "1,5", "1" * 21, "1." + "1" * 19, "\u0661", "0x1", [], {}, True,
    ],
)  # fmt: skip
def test_an_amount_that_is_not_a_plain_decimal_string_is_refused(field: str, amount: Any) -> None:
    refused(decode_order_event, fields_of(NEW) | {field: amount})


@pytest.mark.parametrize("field", ["price", "quantity"])
@pytest.mark.parametrize("amount", ["0", "1", "0.1", "1" * 20, "1." + "1" * 18])
def test_a_plain_decimal_string_is_taken(field: str, amount: str) -> None:
    fields = fields_of(NEW) | {field: amount}
    assert fields_of(decode_order_event(json.dumps(fields).encode())) == fields


@pytest.mark.parametrize("field", ["order_id", "user_id"])
@pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, [1]])
def test_an_identifier_that_is_not_a_positive_integer_is_refused(field: str, number: Any) -> None:
    refused(decode_order_event, fields_of(NEW) | {field: number})


@pytest.mark.parametrize(
    "market",
    [
        "",
        "ADA",
        "ADA-",
        "ada-usdt",
        "ADA-USDT\n",
        "ADA-USDT-X",
        "A-USDT",
        "A" * 11 + "-B",
    ],
)
def test_a_market_that_cannot_be_one_is_refused(market: str) -> None:
    refused(decode_order_event, fields_of(NEW) | {"market": market})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("side", "hold"), ("order_type", "stop"), ("time_in_force", "day"), ("created_at", 5),
        ("request_id", 5), ("post_only", 1), ("self_trade_prevention", "cancel"), ("expires_at", 5),
        ("stop_price", "-1"), ("stop_price", None),
    ],
)  # fmt: skip
def test_a_new_order_of_a_kind_nobody_knows_is_refused(field: str, value: Any) -> None:
    refused(decode_order_event, fields_of(NEW) | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", "change"), ("status", "pending"), ("status", "done"), ("epoch", 0), ("offset", -1),
        ("previous_offset", -2), ("canceled_quantity", "-1"), ("canceled_quantity", 1),
        ("trades", {}), ("trades", [1]), ("trades", None), ("self_trades", [1]),
        ("prevented_quantity", "-1"),
    ],
)  # fmt: skip
def test_an_execution_that_cannot_have_happened_is_refused(field: str, value: Any) -> None:
    refused(decode_trade_event, fields_of(EXECUTION) | {field: value})


@pytest.mark.parametrize("decode", [decode_order_event, decode_trade_event])
@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"null", b"[]", b"{}", b"17", b'"new"', b"{", b'{"type":"new"}', b"\xff\xfe",
        b'{"type":"new"', b'{"type":"new"}{}', b"[" * 100_000, b'{"type":"\xed\xa0\x80"}', b"\x00",
    ],
)  # fmt: skip
def test_what_is_not_a_record_at_all_is_refused(decode: Decode, value: bytes) -> None:
    with pytest.raises(RecordError):
        decode(value)


@pytest.mark.parametrize("decode", [decode_order_event, decode_trade_event])
@pytest.mark.parametrize("value", [None, b"[" * 100_000], ids=["no value", "endless nesting"])
def test_poison_is_refused_like_any_other_nonsense(decode: Any, value: Any) -> None:
    with pytest.raises(RecordError):
        decode(value)

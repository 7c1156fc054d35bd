"""The fast way of reading and writing orders says what the serializers say."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.api.parsers import _STRING_OR_BRACKET, _brackets
from orders.api import OrderInput, OrderOutput
from orders.models import Order
from orders.reading import plain_order
from orders.rendering import render_order

_AMOUNTS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(min_value=0, max_value=10**6, places=4),
    st.integers(),
    st.integers(0, 10**21),
    st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            "1", "1.9", "0", "-0", "+1", " 1", "1 ", "1\n", "1_0", ".5", "5.", "\uff11", "NaN", "",
            "0" * 21, "9" * 20, "9" * 21, f"0.{'0' * 17}1", f"0.{'0' * 18}1", True, None,
            Decimal("0E+30"), Decimal("1E+19"), Decimal("1E+20"), Decimal("1E-18"),
            Decimal("1E-19"), Decimal("-0.0"), 10**20, 10**20 - 1,
        ]
    ),
)  # fmt: skip
_TEXT = st.one_of(st.text(max_size=25), st.none(), st.integers(), st.booleans())
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.one_of(
        st.integers(), st.sampled_from([1, 0, True, "1", "x", None, 2**63, 2**63 - 1])
    ),
    "market": st.one_of(st.just("ADA-USDT"), st.sampled_from(["", "A" * 22, "a\n", "a\0"]), _TEXT),
    "asset": st.one_of(st.just("ADA"), st.sampled_from(["", "A" * 11, "ADA\n", "ADA "]), _TEXT),
    "side": st.one_of(st.sampled_from(["buy", "sell"]), _TEXT),
    "order_type": st.one_of(st.sampled_from(["buy", "sell"]), _TEXT),
    "type": st.one_of(st.sampled_from(["limit", "market", "stop_limit", "stop_market"]), _TEXT),
    "time_in_force": st.one_of(st.sampled_from(["gtc", "ioc", "fok", "gtd"]), _TEXT),
    "post_only": st.one_of(st.booleans(), st.sampled_from([1, 0, "true", None, "yes"])),
    "self_trade_prevention": st.one_of(
        st.sampled_from([*Order.SelfTradePrevention.values, "cancel", None]), _TEXT
    ),
    "quantity": _AMOUNTS,
    "price": _AMOUNTS,
    "client_order_id": st.one_of(
        st.from_regex(r"[A-Za-z0-9._:-]{0,66}", fullmatch=True), st.just("x\n"), _TEXT
    ),
    "quote_amount": _AMOUNTS,
    "expires_at": st.one_of(st.just("2030-01-01T00:00:00Z"), _TEXT),
    "stop_price": _AMOUNTS,
    "visible_quantity": _AMOUNTS,
    "note": _TEXT,
}
_PLAIN: dict[str, Any] = {"asset": "ADA", "order_type": "buy", "quantity": 10, "price": "1.9"}


@given(st.fixed_dictionaries({}, optional=_FIELDS), st.sets(st.sampled_from(list(_PLAIN))))
@example({}, set(_PLAIN))
@settings(max_examples=500, deadline=None)
def test_what_is_read_fast_is_what_the_serializer_reads(
    given: dict[str, Any], plain: set[str]
) -> None:
    order = given | {name: _PLAIN[name] for name in plain}
    fast = plain_order(order)
    if fast is None:
        return
    careful = OrderInput(data=order)
    assert careful.is_valid(), careful.errors
    assert fast == careful.validated_data
    assert str(fast["price"]) == str(careful.validated_data["price"])
    assert type(fast["side"]) is type(fast["market"]) is str


@settings(deadline=None)
@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.just(_PLAIN))))
def test_what_is_no_object_is_left_to_the_serializer(data: Any) -> None:
    assert plain_order(data) is None


def test_what_programs_send_is_read_fast() -> None:
    full = {"user_id": 1, "market": "ADA-USDT", "side": "buy", "type": "limit",
            "time_in_force": "gtc", "quantity": "10", "price": Decimal("1.9"),
            "client_order_id": "my-1"}  # fmt: skip
    rules = {"time_in_force": "ioc", "post_only": False, "self_trade_prevention": "cancel_both"}
    for order in (
        _PLAIN, full, {**full, "client_order_id": None}, {**full, "order_type": "buy"},
        {**full, **rules},
    ):  # fmt: skip
        assert plain_order(order) is not None, order


_MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1))  # noqa: DTZ001
_STORED = st.decimals(min_value=0, max_value=10**19, places=18)


@settings(deadline=None)
@given(
    st.builds(
        Order, id=st.integers(1), user_id=st.integers(1), market_id=st.just("ADA-USDT"),
        side=st.sampled_from(Order.Side.values), price=_STORED, quantity=_STORED,
        stop_price=st.none() | _STORED, elected_at=st.none() | _MOMENTS,
        triggered_at=st.none() | _MOMENTS,
        filled_quantity=_STORED, filled_quote=_STORED, prevented_quantity=_STORED,
        time_in_force=st.sampled_from(Order.TimeInForce.values), post_only=st.booleans(),
        order_type=st.sampled_from(Order.Type.values), quote_amount=st.none() | _STORED,
        self_trade_prevention=st.sampled_from(Order.SelfTradePrevention.values),
        status=st.sampled_from(Order.Status.values), reason=st.text(max_size=5),
        client_order_id=st.none() | st.just("my-1"), created_at=_MOMENTS,
        visible_quantity=st.none() | _STORED,
        finished_at=st.none() | _MOMENTS, expires_at=st.none() | _MOMENTS, cancel_requested_at=st.none() | _MOMENTS,
    )
)  # fmt: skip
def test_an_order_is_written_as_the_serializer_writes_it(order: Order) -> None:
    assert render_order(order) == OrderOutput(order).data
    assert list(render_order(order)) == list(OrderOutput(order).data)


@settings(deadline=None)
@given(st.text(alphabet='[]{}"a, \n', max_size=60))
@example(json.dumps({"a": ["[", {"b": "}"}]}))
def test_brackets_are_found_the_same_with_and_without_backslashes(text: str) -> None:
    body = text.encode()
    slowly = b"".join(
        match[0]
        for match in _STRING_OR_BRACKET.finditer(body)
        if match[0] in (b"[", b"]", b"{", b"}")
    )
    assert _brackets(body) == slowly

"""An order as it was sent, read fast where it is written plainly.

`OrderInput` (`orders.api`) has the rules and the words of the API, and takes some 150 µs for an
order. Nearly every order that programs send is of one plain kind, and is read here in a few. What
is not plainly right is None here, and the serializer's to judge: so it must never be that this
module takes an order which the serializer refuses, or reads as another one.
"""

import re
from decimal import Decimal
from typing import Any

from exchange.money import DECIMAL_PLACES, MAX_DIGITS

DEFAULT_QUOTE = "USDT"
"""The quote asset of the short form, which names only the base asset."""
DEFAULT_PREVENTION = "cancel_taker"
"""What happens to an order that meets one of its own user, if it does not say."""

_ABSENT = object()
_RARE = frozenset(("expires_at", "quote_amount", "stop_price", "visible_quantity"))
"""What a plain order does not say."""
_SIDES = ("buy", "sell")
_TIMES_IN_FORCE = ("gtc", "ioc", "fok")
_PREVENTIONS = ("none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel")
_WHOLE_DIGITS = MAX_DIGITS - DECIMAL_PLACES
_MARKET = re.compile(r"[A-Z0-9-]{1,21}").fullmatch
_ASSET = re.compile(r"[A-Z0-9]{1,10}").fullmatch
_OWN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_AMOUNT = re.compile(rf"[0-9]{{1,{_WHOLE_DIGITS}}}(?:\.[0-9]{{1,{DECIMAL_PLACES}}})?").fullmatch


def plain_order(data: Any) -> dict[str, Any] | None:
    """Return what `OrderInput` makes of `data`, if that is plain to see; else None."""
    if type(data) is not dict:
        return None
    get = data.get
    rules = _rules(data)
    if rules is None or get("type", "limit") != "limit" or not _RARE.isdisjoint(data):
        return None
    user_id = get("user_id", _ABSENT)
    own_id = get("client_order_id")
    market, named_by = _market(data)
    side = _side(get("side", _ABSENT), get("order_type", _ABSENT))
    price, quantity = _amount(get("price")), _amount(get("quantity"))
    if market is None or side is None or price is None or quantity is None:
        return None
    if user_id is not _ABSENT and not (type(user_id) is int and 1 <= user_id < 2**63):
        return None
    if own_id is not None and not (type(own_id) is str and _OWN_ID(own_id)):
        return None
    return {
        "user_id": None if user_id is _ABSENT else user_id,
        "market": market,
        "market_named_by": named_by,
        "side": side,
        "order_type": "limit",
        "quantity": quantity,
        "quote_amount": None,
        "price": price,
        "stop_price": None,
        **rules,
        "expires_at": None,
        "visible_quantity": None,
        "client_order_id": own_id,
    }


def _rules(data: dict[str, Any]) -> dict[str, Any] | None:
    time_in_force = data.get("time_in_force", "gtc")
    post_only = data.get("post_only", False)
    prevention = data.get("self_trade_prevention", DEFAULT_PREVENTION)
    if type(time_in_force) is not str or time_in_force not in _TIMES_IN_FORCE:
        return None
    if type(post_only) is not bool or type(prevention) is not str or prevention not in _PREVENTIONS:
        return None
    return {
        "time_in_force": time_in_force,
        "post_only": post_only,
        "self_trade_prevention": prevention,
    }


def _market(data: dict[str, Any]) -> tuple[str | None, Any]:
    market, asset = data.get("market", _ABSENT), data.get("asset", _ABSENT)
    if asset is _ABSENT and type(market) is str and _MARKET(market):
        return market, "market"
    if market is _ABSENT and type(asset) is str and _ASSET(asset):
        return f"{asset}-{DEFAULT_QUOTE}", "asset"
    return None, ""


def _side(side: Any, order_type: Any) -> str | None:
    """Return the side, which may be given under one name, or the same under both."""
    if side is _ABSENT:
        side = order_type
    elif order_type is not _ABSENT and order_type != side:
        return None
    return side if type(side) is str and side in _SIDES else None


def _amount(value: Any) -> Decimal | None:
    kind = type(value)
    if kind is str:
        return Decimal(value) if _AMOUNT(value) else None
    if kind is int:
        return Decimal(value) if 0 <= value < 10**_WHOLE_DIGITS else None
    if kind is Decimal and value.adjusted() < _WHOLE_DIGITS:
        exponent = value.as_tuple().exponent
        return value if -DECIMAL_PLACES <= exponent <= 0 else None
    return None

"""Other people's engines from the package index, on our flows: the ceilings of the engine.

nanobook is written in Rust, lightmatchingengine in Python and Cython. Both number orders from 1, as
our flows do. What a caller needs is read from each result (its status, its trades as objects of
Python), as it is part of what our engine returns.

Neither survives every cancel. nanobook 0.19.2 (0.9.3 to 0.18.1 as well) does not return from
`submit_limit` once it meets a canceled order that was next to trade; lightmatchingengine 2019.1.4
fails on the cancel of an order that has traded. So they are only given flows whose cancels are of
live orders far from the price (`flows.away_flow`).
"""

import gc
from collections.abc import Callable, Sequence
from time import process_time
from typing import Any, NamedTuple

import nanobook
from lightmatchingengine.lightmatchingengine import LightMatchingEngine
from lightmatchingengine.lightmatchingengine import Side as LightSide

from benchmarks.flows import MARKET
from matching.engine import BUY, CancelOrder, Command, PlaceOrder

TradeFacts = tuple[int, int, int]
"""Maker's order id, price, quantity: what all engines say of a trade."""


class Rival(NamedTuple):
    """An engine to compare with: how long it takes for a flow, and which trades it makes."""

    name: str
    seconds: Callable[[Sequence[Command]], float]
    trades: Callable[[Sequence[Command]], list[TradeFacts]]


def _nanobook_calls(flow: Sequence[Command]) -> list[tuple[Any, ...]]:
    """Return the arguments of each call, so that preparing them is not measured."""
    return [
        ("buy" if c.side == BUY else "sell", c.price, c.quantity, "gtc")
        if isinstance(c, PlaceOrder)
        else (c.order_id,)
        for c in flow
    ]


def _nanobook_seconds(flow: Sequence[Command], *, read: bool) -> float:
    calls = _nanobook_calls(flow)
    exchange = nanobook.Exchange()
    submit, cancel = exchange.submit_limit, exchange.cancel
    gc.collect()
    start = process_time()
    for call in calls:
        if len(call) == 1:
            cancel(*call)
        elif read:
            result = submit(*call)
            _ = result.order_id, result.status, result.resting_quantity, result.trades
        else:
            submit(*call)
    return process_time() - start


def _nanobook_trades(flow: Sequence[Command]) -> list[TradeFacts]:
    exchange = nanobook.Exchange()
    for call in _nanobook_calls(flow):
        if len(call) == 1:
            exchange.cancel(*call)
        else:
            exchange.submit_limit(*call)
    return [(t.passive_order_id, t.price, t.quantity) for t in exchange.trades()]


def _light_calls(flow: Sequence[Command]) -> list[tuple[Any, ...]]:
    return [
        (MARKET, c.price, c.quantity, LightSide.BUY if c.side == BUY else LightSide.SELL)
        if isinstance(c, PlaceOrder)
        else (c.order_id, MARKET)
        for c in flow
    ]


def _light_seconds(flow: Sequence[Command]) -> float:
    calls = _light_calls(flow)
    engine = LightMatchingEngine()
    add, cancel = engine.add_order, engine.cancel_order
    gc.collect()
    start = process_time()
    for call in calls:
        if len(call) == 2:
            cancel(*call)
        else:
            add(*call)
    return process_time() - start


def _light_trades(flow: Sequence[Command]) -> list[TradeFacts]:
    """Return the trades; each match comes as two, of which one is the taker's."""
    engine = LightMatchingEngine()
    found: list[TradeFacts] = []
    for command, call in zip(flow, _light_calls(flow), strict=True):
        if isinstance(command, CancelOrder):
            engine.cancel_order(*call)
            continue
        _, trades = engine.add_order(*call)
        found += [
            (t.order_id, int(t.trade_price), int(t.trade_qty))
            for t in trades
            if t.order_id != command.order_id
        ]
    return found


NANOBOOK = Rival(
    "nanobook (Rust), results read",
    lambda flow: _nanobook_seconds(flow, read=True),
    _nanobook_trades,
)
NANOBOOK_UNREAD = Rival(
    "nanobook (Rust), results not read",
    lambda flow: _nanobook_seconds(flow, read=False),
    _nanobook_trades,
)
LIGHT = Rival("lightmatchingengine", _light_seconds, _light_trades)

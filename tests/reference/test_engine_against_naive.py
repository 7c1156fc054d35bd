"""The engine against the naive model: the same answers, event by event, on random flows.

Deterministic: hypothesis is derandomized and the long flow has a fixed seed.
"""

import random
from collections import Counter
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.engine import (
    BUY,
    MAX_FILLS,
    SELL,
    CancelOrder,
    Engine,
    Execution,
    MarketState,
    PlaceOrder,
    PlaceWithRules,
    Prevention,
    TimeInForce,
)
from tests.reference.naive import (
    NaiveExchange,
    NaiveResult,
    NaiveSelfTrade,
    NaiveTrade,
    SideName,
)

MARKETS = ("BTC-USDT", "BTC-EUR")
LAST_TRADE_IDS = {"BTC-USDT": 0, "BTC-EUR": 41}
SIDES: dict[SideName, int] = {"buy": BUY, "sell": SELL}
Rules = tuple[TimeInForce, bool, Prevention, int]
PREVENTIONS: tuple[Prevention, ...] = (
    "none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel",
)  # fmt: skip
RESTING: tuple[tuple[TimeInForce, bool], ...] = (
    ("gtc", False), ("gtc", True), ("ioc", False), ("fok", False),
)  # fmt: skip
PARTS = (0, 1, 2, 3)
ALL_RULES: list[Rules] = [
    (*resting, prevention, part)
    for resting in RESTING
    for prevention in PREVENTIONS
    for part in PARTS
    if resting[0] == "gtc" or not part
]
NO_RULES: Rules = ("gtc", False, "none", 0)
SIDE_NAMES: dict[int, SideName] = {BUY: "buy", SELL: "sell"}


@dataclass(frozen=True)
class Event:
    """A new order, or a cancel when `side` is `None`. `gap`: offsets skipped before it."""

    gap: int
    market: str
    order_id: int
    user_id: int = 0
    side: SideName | None = None
    price: int = 0
    quantity: int = 0
    rules: Rules | None = None
    """None: a plain order. The same as `NO_RULES`, but another way through the engine."""
    budget: int = 0
    """Of a buy order that is `ioc`, whatever its rules say."""


def new_engine(max_fills: int = MAX_FILLS) -> Engine:
    engine = Engine(max_fills=max_fills)
    for market in MARKETS:
        engine.add_market(market, LAST_TRADE_IDS[market])
    return engine


def new_naive(max_fills: int = MAX_FILLS) -> NaiveExchange:
    return NaiveExchange(last_trade_ids=dict(LAST_TRADE_IDS), max_fills=max_fills)


def apply_to_engine(engine: Engine, offset: int, event: Event) -> Execution | None:
    if event.side is None:
        return engine.apply(offset, CancelOrder(event.order_id, event.market))
    plain = PlaceOrder(
        order_id=event.order_id,
        user_id=event.user_id,
        market=event.market,
        side=SIDES[event.side],
        price=event.price,
        quantity=event.quantity,
    )
    if event.rules is None:
        return engine.apply(offset, plain)
    if has_budget(event):
        return engine.apply(
            offset, PlaceWithRules(*plain, "ioc", False, event.rules[2], event.budget)
        )
    time_in_force, post_only, prevention, part = event.rules
    return engine.apply(
        offset, PlaceWithRules(*plain, time_in_force, post_only, prevention, part=part)
    )


def has_budget(event: Event) -> bool:
    return event.budget > 0 and event.side == "buy" and event.rules is not None


def apply_to_naive(naive: NaiveExchange, offset: int, event: Event) -> NaiveResult | None:
    if event.side is None:
        return naive.cancel(offset, market=event.market, order_id=event.order_id)
    time_in_force, post_only, prevention, part = event.rules or NO_RULES
    if has_budget(event):
        time_in_force, post_only, part = "ioc", False, 0
    return naive.place(
        offset,
        budget=event.budget if has_budget(event) else 0,
        time_in_force=time_in_force,
        post_only=post_only,
        prevention=prevention,
        part=part,
        market=event.market,
        order_id=event.order_id,
        user_id=event.user_id,
        side=event.side,
        price=event.price,
        quantity=event.quantity,
    )


def in_naive_terms(execution: Execution | None) -> NaiveResult | None:
    if execution is None:
        return None
    return NaiveResult(
        market=execution.market,
        offset=execution.offset,
        previous_offset=execution.previous_offset,
        order_id=execution.order_id,
        user_id=execution.user_id,
        side=SIDE_NAMES[execution.side],
        price=execution.price,
        status=execution.status,
        canceled_quantity=execution.canceled_quantity,
        trades=tuple(
            NaiveTrade(
                trade_id=fill.trade_id,
                maker_order_id=fill.maker_order_id,
                maker_user_id=fill.maker_user_id,
                price=fill.price,
                quantity=fill.quantity,
            )
            for fill in execution.fills
        ),
        reason=execution.reason,
        self_trades=tuple(NaiveSelfTrade(*prevented) for prevented in execution.self_trades),
        prevented_quantity=execution.prevented_quantity,
        elected=execution.elected,
        requeued=execution.requeued,
    )


def assert_same_books(engine: Engine, naive: NaiveExchange) -> None:
    for market in MARKETS:
        book = engine.book(market)
        assert book.depth() == (naive.depth(market, "buy"), naive.depth(market, "sell"))
        assert book.last_trade_id == naive.last_trade_ids[market]
        assert [
            (
                order.order_id,
                order.user_id,
                SIDE_NAMES[order.side],
                order.price,
                order.remaining,
                order.part,
            )
            for order in book.orders()
        ] == [
            (row.order_id, row.user_id, row.side, row.price, row.remaining, row.part)
            for side in SIDES
            for row in naive.live(market, side)
        ]


def with_offsets(events: list[Event]) -> list[tuple[int, Event]]:
    offset = -1
    numbered: list[tuple[int, Event]] = []
    for event in events:
        offset += 1 + event.gap
        numbered.append((offset, event))
    return numbered


def rebuilt_from(naive: NaiveExchange, position: int) -> Engine:
    """Return an engine as recovery builds it from the database at a checkpoint."""
    engine = Engine(position, naive.max_fills)
    for market in MARKETS:
        change_id, state = naive.states.get(market, (0, "open"))
        engine.add_market(
            market,
            naive.last_trade_ids[market],
            last_price=naive.last_prices.get(market, 0),
            state=cast(MarketState, state),
            change_id=change_id,
        )
    for row in naive.by_arrival():
        engine.restore(
            row.market, row.order_id, row.user_id, SIDES[row.side], row.price, row.remaining,
            row.part,
        )  # fmt: skip
    return engine


# Few ids, prices and quantities: so that ids repeat, prices cross and quantities meet exactly.
places = st.builds(
    Event,
    gap=st.sampled_from((0, 0, 0, 2)),
    market=st.sampled_from(MARKETS),
    order_id=st.integers(1, 60),
    user_id=st.integers(1, 3),
    side=st.sampled_from(("buy", "sell")),
    price=st.integers(98, 102),
    quantity=st.integers(1, 6),
    rules=st.one_of(st.none(), st.sampled_from(ALL_RULES)),
    # Less than a lot costs, a few lots to the tick and beside it, all.
    budget=st.sampled_from((0, 0, 50, 99, 100, 101, 199, 200, 205, 305, 1_000)),
)
cancels = st.builds(
    Event,
    gap=st.sampled_from((0, 0, 0, 2)),
    market=st.sampled_from(MARKETS),
    order_id=st.integers(1, 70),
)
fill_limits = st.sampled_from((1, 2, 3, MAX_FILLS))
flows = st.lists(st.one_of(places, places, cancels), max_size=60)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(flow=flows, max_fills=fill_limits)
def test_every_event_has_the_naive_result(flow: list[Event], max_fills: int) -> None:
    engine, naive = new_engine(max_fills), new_naive(max_fills)

    for offset, event in with_offsets(flow):
        result = in_naive_terms(apply_to_engine(engine, offset, event))

        assert result == apply_to_naive(naive, offset, event)
        assert engine.position == offset
        assert_same_books(engine, naive)
        engine.validate()


asks = st.builds(
    Event,
    gap=st.just(0),
    market=st.just("BTC-USDT"),
    order_id=st.integers(1, 10**6),
    user_id=st.integers(1, 2),
    side=st.just("sell"),
    price=st.integers(98, 102),
    quantity=st.integers(1, 3),
    rules=st.sampled_from((None, ("gtc", False, "none", 1))),
)
spends = st.builds(
    Event,
    gap=st.just(0),
    market=st.just("BTC-USDT"),
    order_id=st.integers(1, 10**6),
    user_id=st.integers(2, 3),
    side=st.just("buy"),
    price=st.integers(99, 103),
    quantity=st.integers(1, 9),
    rules=st.sampled_from([("ioc", False, prevention, 0) for prevention in PREVENTIONS]),
    budget=st.sampled_from((50, 99, 100, 101, 199, 200, 205, 305, 1_000)),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(flow=st.lists(st.one_of(asks, spends), min_size=2, max_size=12), max_fills=fill_limits)
def test_every_budget_has_the_naive_result_and_is_kept_to(
    flow: list[Event], max_fills: int
) -> None:
    engine, naive = new_engine(max_fills), new_naive(max_fills)

    for offset, event in with_offsets(flow):
        result = apply_to_engine(engine, offset, event)

        assert in_naive_terms(result) == apply_to_naive(naive, offset, event)
        assert_same_books(engine, naive)
        engine.validate()
        if result is not None and has_budget(event):
            assert sum(fill.price * fill.quantity for fill in result.fills) <= event.budget
            assert result.status in ("filled", "canceled")
            bought = sum(fill.quantity for fill in result.fills)
            assert bought + result.prevented_quantity + result.canceled_quantity == event.quantity


@settings(derandomize=True, deadline=None, max_examples=100)
@given(flow=flows)
def test_a_replay_gives_the_same_results_and_the_same_hash(flow: list[Event]) -> None:
    first, second = new_engine(), new_engine()

    results = [apply_to_engine(first, *numbered) for numbered in with_offsets(flow)]

    assert [apply_to_engine(second, *numbered) for numbered in with_offsets(flow)] == results
    assert second.state_hash() == first.state_hash()


@settings(derandomize=True, deadline=None, max_examples=300)
@given(flow=flows, data=st.data(), max_fills=fill_limits)
def test_an_engine_rebuilt_at_a_cut_goes_on_as_the_undisturbed_one(
    flow: list[Event], data: st.DataObject, max_fills: int
) -> None:
    # Given an undisturbed run of distinct orders, cut after any event that was settled. (That
    # an order settled before the cut is not published again is the caller's business.)
    numbered = with_offsets(distinct_orders(flow))
    cut = data.draw(st.integers(0, len(numbered)), label="cut")
    undisturbed, naive = new_engine(max_fills), new_naive(max_fills)
    for offset, event in numbered[:cut]:
        apply_to_engine(undisturbed, offset, event)
        apply_to_naive(naive, offset, event)

    # When an engine is rebuilt from the live orders at the checkpoint, the last event's offset
    rebuilt = rebuilt_from(naive, numbered[cut - 1][0] if cut else -1)

    # Then it holds the same books, and every event after the cut has the same result
    assert rebuilt.state_hash() == undisturbed.state_hash()
    for offset, event in numbered[cut:]:
        expected = apply_to_engine(undisturbed, offset, event)
        assert apply_to_engine(rebuilt, offset, event) == expected
        assert rebuilt.state_hash() == undisturbed.state_hash()
        rebuilt.validate()


def distinct_orders(flow: list[Event]) -> list[Event]:
    known: set[int] = set()
    distinct: list[Event] = []
    for event in flow:
        if event.side is not None:
            if event.order_id in known:
                continue
            known.add(event.order_id)
        distinct.append(event)
    return distinct


@pytest.mark.parametrize(
    ("seed", "spread", "max_fills", "with_rules"),
    [
        (1, 3, MAX_FILLS, 0),
        (2, 40, MAX_FILLS, 0),
        (3, 3, 3, 0),
        (4, 3, MAX_FILLS, 0.5),
        (5, 3, 3, 0.9),
    ],
)
def test_a_long_flow_has_the_naive_results(
    seed: int, spread: int, max_fills: int, with_rules: float
) -> None:
    rng = random.Random(seed)
    engine, naive = new_engine(max_fills), new_naive(max_fills)
    trades = cancels_done = ignored = spent = 0
    reasons: Counter[str] = Counter()
    preventions: Counter[bool] = Counter()
    requeued = 0

    for offset, event in enumerate(long_flow(rng, 20_000, spread, with_rules)):
        expected = apply_to_naive(naive, offset, event)
        assert in_naive_terms(apply_to_engine(engine, offset, event)) == expected

        trades += len(expected.trades) if expected else 0
        cancels_done += expected is not None and expected.status == "canceled"
        ignored += expected is None
        spent += (
            expected is not None and expected.status == "filled" and expected.canceled_quantity > 0
        )
        requeued += len(expected.requeued) if expected else 0
        reasons[expected.reason if expected else ""] += 1
        preventions.update(p.canceled for p in (expected.self_trades if expected else ()))
        if offset % 500 == 0:
            engine.validate()
            assert_same_books(engine, naive)

    engine.validate()
    assert_same_books(engine, naive)
    assert min(trades, cancels_done, ignored) > 500, "the flow does not reach all that it should"
    if with_rules:
        words = (
            "ioc_remainder", "fok_not_fillable", "self_trade", "post_only_would_trade",
            "budget_too_small",
        )  # fmt: skip
        assert spent > 100, spent
        assert min(reasons[word] for word in words) > 50, reasons
        assert min(preventions[True], preventions[False]) > 30, preventions
        assert requeued > 100, requeued


def long_flow(rng: random.Random, count: int, spread: int, with_rules: float = 0.0) -> list[Event]:
    """Return places, duplicates, and cancels of orders live, finished and unknown."""
    flow: list[Event] = []
    last_id = 0
    for _ in range(count):
        market = rng.choice(MARKETS)
        if rng.random() < 0.35:
            order_id = rng.randint(max(last_id - 60, 1), last_id + 3)
            flow.append(Event(gap=0, market=market, order_id=order_id))
            continue
        is_new = rng.random() < 0.95
        last_id += is_new
        side: SideName = rng.choice(("buy", "sell"))
        away = rng.randint(-1, spread)
        flow.append(
            Event(
                gap=0,
                market=market,
                order_id=last_id if is_new else rng.randint(1, last_id + 1),
                user_id=rng.randint(1, 9),
                side=side,
                price=1_000 - away if side == "buy" else 1_000 + away,
                quantity=rng.randint(1, 20),
                rules=rng.choice(ALL_RULES) if rng.random() < with_rules else None,
                budget=rng.choice((0, 0, 0, 500, 5_000, 20_100)),
            )
        )
    return flow

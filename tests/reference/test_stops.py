"""Stop orders: the engine against the naive model, event by event, with all that orders can say."""

from collections import Counter
from random import Random
from typing import NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.engine import (
    MAX_STOPS,
    Engine,
    MarketState,
    PlaceStop,
    Prevention,
    TimeInForce,
    TriggerOrder,
)
from tests.reference.naive import NaiveExchange, NaiveResult, SideName, StopRow
from tests.reference.test_engine_against_naive import (
    ALL_RULES,
    LAST_TRADE_IDS,
    MARKETS,
    SIDE_NAMES,
    SIDES,
    Event,
    assert_same_books,
    cancels,
    fill_limits,
    in_naive_terms,
    places,
)
from tests.reference.test_market_states import Change, changes, on_engine, on_naive

LAST_PRICES = {"BTC-EUR": 100}
"""One market has traded before the log begins."""
StopRules = tuple[TimeInForce, bool, Prevention]
STOP_RULES: list[StopRules] = [
    ("gtc", False, "none"), *(rules[:3] for rules in ALL_RULES if not rules[3])
]  # fmt: skip
"""What a stop order may say; the first says nothing."""


class Stop(NamedTuple):
    """A new stop order."""

    market: str
    order_id: int
    user_id: int
    side: SideName
    price: int
    quantity: int
    stop_price: int
    rules: StopRules


class Trigger(NamedTuple):
    """The trigger of a stop order."""

    market: str
    order_id: int


AnyEvent = Event | Change | Stop | Trigger

stops = st.builds(
    Stop,
    market=st.sampled_from(MARKETS),
    order_id=st.integers(1, 60),
    user_id=st.integers(1, 3),
    side=st.sampled_from(("buy", "sell")),
    price=st.integers(98, 102),
    quantity=st.integers(1, 6),
    stop_price=st.integers(97, 103),
    rules=st.sampled_from(STOP_RULES),
)
triggers = st.builds(Trigger, market=st.sampled_from(MARKETS), order_id=st.integers(1, 60))
stop_limits = st.sampled_from((1, 2, MAX_STOPS))
flows = st.lists(
    st.one_of(places, places, places, stops, stops, triggers, triggers, cancels, changes),
    max_size=80,
)


def new_engine(max_fills: int, max_stops: int, position: int = -1) -> Engine:
    engine = Engine(position, max_fills, max_stops)
    for market in MARKETS:
        engine.add_market(market, LAST_TRADE_IDS[market], last_price=LAST_PRICES.get(market, 0))
    return engine


def new_naive(max_fills: int, max_stops: int) -> NaiveExchange:
    return NaiveExchange(
        last_trade_ids=dict(LAST_TRADE_IDS),
        max_fills=max_fills,
        max_stops=max_stops,
        last_prices=dict(LAST_PRICES),
    )


def to_engine(engine: Engine, offset: int, event: AnyEvent) -> object:
    if isinstance(event, Stop):
        command = PlaceStop(
            event.order_id, event.user_id, event.market, SIDES[event.side], event.price,
            event.quantity, event.stop_price, *event.rules,
        )  # fmt: skip
        return in_naive_terms(engine.apply(offset, command))
    if isinstance(event, Trigger):
        return in_naive_terms(engine.apply(offset, TriggerOrder(event.order_id, event.market)))
    return on_engine(engine, offset, event)


def to_naive(naive: NaiveExchange, offset: int, event: AnyEvent) -> object:
    if isinstance(event, Stop):
        time_in_force, post_only, prevention = event.rules
        return naive.place_stop(
            offset, market=event.market, order_id=event.order_id, user_id=event.user_id,
            side=event.side, price=event.price, quantity=event.quantity,
            stop_price=event.stop_price, time_in_force=time_in_force, post_only=post_only,
            prevention=prevention,
        )  # fmt: skip
    if isinstance(event, Trigger):
        return naive.trigger(offset, market=event.market, order_id=event.order_id)
    return on_naive(naive, offset, event)


def assert_same_stops(engine: Engine, naive: NaiveExchange) -> None:
    for market in MARKETS:
        assert engine.book(market).last_price == naive.last_prices.get(market, 0)
        of_engine = [
            (
                order.order_id, order.user_id, SIDE_NAMES[order.side], order.price, order.quantity,
                order.stop_price, (order.time_in_force, order.post_only, order.prevention), elected,
            )
            for order, elected in engine.stops(market).orders()
        ]  # fmt: skip
        of_naive = [
            (
                stop.row.order_id, stop.row.user_id, stop.row.side, stop.row.price,
                stop.row.remaining, stop.stop_price,
                (
                    stop.order["time_in_force"], stop.order["post_only"],
                    stop.order["prevention"],
                ),
                stop.elected,
            )
            for stop in in_turn(naive, market)
        ]  # fmt: skip
        assert of_engine == of_naive


def in_turn(naive: NaiveExchange, market: str) -> list[StopRow]:
    """Return the stop orders of a market: the next to be elected first, buys before sells; then
    those that are elected."""
    waiting = naive.waiting_stops(market)
    waiting.sort(key=lambda stop: (SIDES[stop.row.side] * stop.stop_price, stop.row.arrival))
    waiting.sort(key=lambda stop: stop.row.side)
    elected = [stop for stop in naive.stops if stop.row.market == market and stop.elected]
    return waiting + sorted(elected, key=lambda stop: stop.row.order_id)


def rebuilt_from(naive: NaiveExchange, position: int) -> Engine:
    """Return an engine as recovery builds it from the database at a checkpoint."""
    engine = Engine(position, naive.max_fills, naive.max_stops)
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
    for stop in sorted(naive.stops, key=lambda stop: stop.row.arrival):
        row, order = stop.row, stop.order
        command = PlaceStop(
            row.order_id, row.user_id, row.market, SIDES[row.side], row.price, row.remaining,
            stop.stop_price, order["time_in_force"], order["post_only"], order["prevention"],
        )  # fmt: skip
        engine.restore_stop(command, elected=stop.elected)
    return engine


@settings(derandomize=True, deadline=None, max_examples=500)
@given(flow=flows, max_fills=fill_limits, max_stops=stop_limits)
def test_every_event_has_the_naive_result(
    flow: list[AnyEvent], max_fills: int, max_stops: int
) -> None:
    engine, naive = new_engine(max_fills, max_stops), new_naive(max_fills, max_stops)

    for offset, event in enumerate(flow):
        assert to_engine(engine, offset, event) == to_naive(naive, offset, event)
        assert engine.position == offset
        assert_same_books(engine, naive)
        assert_same_stops(engine, naive)
        engine.validate()


@settings(derandomize=True, deadline=None, max_examples=500)
@given(flow=flows, data=st.data(), max_fills=fill_limits, max_stops=stop_limits)
def test_an_engine_rebuilt_at_a_cut_goes_on_as_the_undisturbed_one(
    flow: list[AnyEvent], data: st.DataObject, max_fills: int, max_stops: int
) -> None:
    flow = distinct(flow)
    cut = data.draw(st.integers(0, len(flow)), label="cut")
    undisturbed, naive = new_engine(max_fills, max_stops), new_naive(max_fills, max_stops)
    for offset, event in enumerate(flow[:cut]):
        to_engine(undisturbed, offset, event)
        to_naive(naive, offset, event)

    rebuilt = rebuilt_from(naive, cut - 1)

    assert rebuilt.state_hash() == undisturbed.state_hash()
    for offset, event in enumerate(flow[cut:], cut):
        assert to_engine(rebuilt, offset, event) == to_engine(undisturbed, offset, event)
        assert rebuilt.state_hash() == undisturbed.state_hash()
        rebuilt.validate()


def distinct(flow: list[AnyEvent]) -> list[AnyEvent]:
    """Leave out the orders whose number was there: the caller knows what is settled."""
    known: set[int] = set()
    kept: list[AnyEvent] = []
    for event in flow:
        if isinstance(event, Stop) or (isinstance(event, Event) and event.side is not None):
            if event.order_id in known:
                continue
            known.add(event.order_id)
        kept.append(event)
    return kept


@pytest.mark.parametrize(("seed", "max_fills", "max_stops"), [(1, 5_000, 10_000), (2, 3, 8)])
def test_a_long_flow_has_the_naive_results(seed: int, max_fills: int, max_stops: int) -> None:
    rng = Random(seed)
    engine, naive = new_engine(max_fills, max_stops), new_naive(max_fills, max_stops)
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    elected: Counter[int] = Counter()
    waiting: list[Trigger] = []
    for offset in range(15_000):
        event = next_event(rng, offset, waiting)
        expected = to_naive(naive, offset, event)
        assert to_engine(engine, offset, event) == expected
        if isinstance(expected, NaiveResult):
            statuses[f"{type(event).__name__} {expected.status}"] += 1
            reasons[expected.reason] += 1
            elected[min(len(expected.elected), 3)] += 1
            waiting += [Trigger(event.market, number) for number in expected.elected]
        if offset % 500 == 0:
            engine.validate()
            assert_same_books(engine, naive)
            assert_same_stops(engine, naive)

    engine.validate()
    assert_same_stops(engine, naive)
    for status in ("open", "partially_filled", "filled", "canceled"):
        assert statuses[f"Trigger {status}"] > 20, statuses
    if max_stops == 8:
        assert reasons["too_many_stops"] > 20, reasons
    else:
        assert min(elected[1], elected[2], elected[3]) > 20, elected


def next_event(rng: Random, offset: int, waiting: list[Trigger]) -> AnyEvent:
    """Return the next event of a market whose price wanders, with its triggers soon after."""
    market = rng.choice(MARKETS)
    if waiting and rng.random() < 0.3:
        return waiting.pop(0)
    if rng.random() < 0.25:
        return Event(gap=0, market=market, order_id=rng.randint(max(offset - 90, 1), offset + 1))
    side: SideName = rng.choice(("buy", "sell"))
    middle = 1_000 + round(30 * abs((offset / 300) % 2 - 1))
    rules = rng.choice(ALL_RULES)
    user_id, quantity = rng.randint(1, 9), rng.randint(1, 20)
    away = rng.randint(-3, 6)
    price = middle - away if side == "buy" else middle + away
    if rng.random() < 0.3:
        beyond = rng.randint(-1, 12)
        stop_price = middle + beyond if side == "buy" else middle - beyond
        slack = rng.randint(-1, 8)
        price = stop_price + slack if side == "buy" else stop_price - slack
        stop_rules = rng.choice((rng.choice(STOP_RULES), STOP_RULES[0]))
        return Stop(market, offset + 1, user_id, side, price, 2 * quantity, stop_price, stop_rules)
    budget = rng.choice((0, 0, price * rng.randint(1, quantity)))
    return Event(0, market, offset + 1, user_id, side, price, quantity, rules, budget)

"""Amended orders: the engine against the naive model, among all other events that there are."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.engine import Amended, AmendOrder, Engine, Prevention
from tests.reference.naive import NaiveAmended, NaiveExchange, NaiveNotAmended, NaiveResult
from tests.reference.test_engine_against_naive import (
    MARKETS,
    PARTS,
    PREVENTIONS,
    SIDES,
    Event,
    Rules,
    assert_same_books,
    cancels,
    fill_limits,
    in_naive_terms,
    places,
)
from tests.reference.test_market_states import STATES, Change, changes
from tests.reference.test_stops import (
    AnyEvent,
    Stop,
    Trigger,
    assert_same_stops,
    new_engine,
    new_naive,
    next_event,
    rebuilt_from,
    stop_limits,
    stops,
    to_engine,
    to_naive,
    triggers,
)


class Amend(NamedTuple):
    """An amendment of an order."""

    market: str
    order_id: int
    amendment_id: int
    price: int
    change: int
    post_only: bool
    prevention: Prevention


amends = st.builds(
    Amend,
    market=st.sampled_from(MARKETS),
    order_id=st.integers(1, 60),
    amendment_id=st.integers(1, 60),
    price=st.integers(98, 102),
    change=st.integers(-5, 5),
    post_only=st.booleans(),
    prevention=st.sampled_from(PREVENTIONS),
)
# Of the few orders that come first, and with few prices: most of them are there to be amended.
of_the_first = st.builds(
    Amend,
    market=st.sampled_from(MARKETS),
    order_id=st.integers(1, 8),
    amendment_id=st.integers(1, 10_000),
    price=st.integers(99, 101),
    change=st.integers(-3, 3),
    post_only=st.sampled_from((False, False, True)),
    prevention=st.sampled_from(PREVENTIONS),
)
first_places = st.builds(
    lambda event, order_id: replace(event, order_id=order_id),
    places,
    st.integers(1, 8),
)
flows = st.lists(
    st.one_of(
        places, first_places, first_places, stops, triggers, cancels, changes, amends, of_the_first,
        of_the_first,
    ),
    max_size=80,
)  # fmt: skip


def on_engine(engine: Engine, offset: int, event: AnyEvent | Amend) -> object:
    if not isinstance(event, Amend):
        return to_engine(engine, offset, event)
    result = engine.amend(
        offset,
        AmendOrder(
            order_id=event.order_id,
            amendment_id=event.amendment_id,
            market=event.market,
            price=event.price,
            change=event.change,
            post_only=event.post_only,
            prevention=event.prevention,
        ),
    )
    if isinstance(result, Amended):
        done = in_naive_terms(result.execution)
        assert done is not None
        return NaiveAmended(done, result.price, result.remaining)
    return None if result is None else NaiveNotAmended(**result._asdict())


def on_naive(naive: NaiveExchange, offset: int, event: AnyEvent | Amend) -> object:
    if isinstance(event, Amend):
        return naive.amend(offset, **event._asdict())
    return to_naive(naive, offset, event)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(flow=flows, max_fills=fill_limits, max_stops=stop_limits)
def test_every_event_has_the_naive_result(
    flow: list[AnyEvent | Amend], max_fills: int, max_stops: int
) -> None:
    engine, naive = new_engine(max_fills, max_stops), new_naive(max_fills, max_stops)

    for offset, event in enumerate(flow):
        assert on_engine(engine, offset, event) == on_naive(naive, offset, event)
        assert engine.position == offset
        assert_same_books(engine, naive)
        assert_same_stops(engine, naive)
        engine.validate()


@settings(derandomize=True, deadline=None, max_examples=500)
@given(flow=flows, data=st.data(), max_fills=fill_limits, max_stops=stop_limits)
def test_an_engine_rebuilt_at_a_cut_goes_on_as_the_undisturbed_one(
    flow: list[AnyEvent | Amend], data: st.DataObject, max_fills: int, max_stops: int
) -> None:
    flow = told_once(flow)
    cut = data.draw(st.integers(0, len(flow)), label="cut")
    undisturbed, naive = new_engine(max_fills, max_stops), new_naive(max_fills, max_stops)
    for offset, event in enumerate(flow[:cut]):
        on_engine(undisturbed, offset, event)
        on_naive(naive, offset, event)

    rebuilt = rebuilt_from(naive, cut - 1)

    assert rebuilt.state_hash() == undisturbed.state_hash()
    for offset, event in enumerate(flow[cut:], cut):
        assert on_engine(rebuilt, offset, event) == on_engine(undisturbed, offset, event)
        assert rebuilt.state_hash() == undisturbed.state_hash()
        rebuilt.validate()


def told_once(flow: list[AnyEvent | Amend]) -> list[AnyEvent | Amend]:
    """Leave out the orders and amendments whose number was there: the caller knows those."""
    known: set[int] = set()
    kept: list[AnyEvent | Amend] = []
    for event in flow:
        number = 0
        if isinstance(event, Amend):
            number = -event.amendment_id
        elif isinstance(event, Stop) or (isinstance(event, Event) and event.side is not None):
            number = event.order_id
        if number in known:
            continue
        if number:
            known.add(number)
        kept.append(event)
    return kept


REASONS = (
    "not_in_book", "market_cancel_only", "market_halted", "already_filled",
    "post_only_would_trade", "market_post_only",
)  # fmt: skip
AMENDED = (
    "unchanged", "reduced", "reduced and requeued", "iceberg reduced in its place",
    "open", "partially_filled", "filled", "canceled fill_limit", "canceled self_trade",
    "reduced by a self-trade", "elected", "put others back", "given a part to hide",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_flow_has_the_naive_results_and_reaches_every_outcome(seed: int) -> None:
    rng = Random(seed)
    engine, naive = new_engine(10, 10_000), new_naive(10, 10_000)
    reached: Counter[str] = Counter()
    waiting: list[Trigger] = []
    for offset in range(15_000):
        event = next_of_all(rng, offset, waiting, naive)
        hiding = {row.order_id for row in naive.rows if row.shown < row.remaining}
        icebergs = {row.order_id for row in naive.rows if row.part}
        known = isinstance(event, Amend) and event.amendment_id in naive.known_amendments
        expected = on_naive(naive, offset, event)
        assert on_engine(engine, offset, event) == expected
        if isinstance(expected, NaiveResult):
            waiting += [Trigger(expected.market, number) for number in expected.elected]
        if isinstance(event, Amend):
            reached.update(outcomes(event, expected, naive, hiding, icebergs, known=known))
        if isinstance(expected, NaiveAmended):
            result = expected.result
            waiting += [Trigger(result.market, number) for number in result.elected]
        if offset % 500 == 0:
            engine.validate()
            assert_same_books(engine, naive)
            assert_same_stops(engine, naive)

    engine.validate()
    assert_same_books(engine, naive)
    assert_same_stops(engine, naive)
    few = {name: reached[name] for name in (*REASONS, *AMENDED, "again") if reached[name] <= 20}
    assert not few, reached


def outcomes(
    event: Amend,
    outcome: object,
    naive: NaiveExchange,
    hiding: set[int],
    icebergs: set[int],
    *,
    known: bool,
) -> list[str]:
    """Name what an amendment has reached; `hiding` and `icebergs`: what did, and was, before it."""
    if outcome is None:
        assert known
        return ["again"]
    if isinstance(outcome, NaiveNotAmended):
        return [outcome.reason]
    assert isinstance(outcome, NaiveAmended)
    result, order_id = outcome.result, event.order_id
    if result.price == outcome.price and event.change <= 0:
        if not event.change:
            return ["unchanged"]
        if result.requeued:
            assert result.requeued == (order_id,)
            return ["reduced and requeued"]
        return ["iceberg reduced in its place" if order_id in hiding else "reduced"]
    names = [f"{result.status} {result.reason}".strip()]
    if result.prevented_quantity:
        names.append("reduced by a self-trade")
    if result.elected:
        names.append("elected")
    assert order_id not in result.requeued
    if result.requeued:
        names.append("put others back")
    hides = any(row.order_id == order_id and row.shown < row.remaining for row in naive.rows)
    if hides and order_id in icebergs - hiding:
        names.append("given a part to hide")
    return names


def next_of_all(
    rng: Random, offset: int, waiting: list[Trigger], naive: NaiveExchange
) -> AnyEvent | Amend:
    """Return the next event of all kinds; of amendments, most are of an order that is there."""
    chance = rng.random()
    if chance < 0.03:
        # Open again soon, whatever it was.
        state = rng.choice(STATES) if chance < 0.008 else "open"
        return Change(rng.choice(MARKETS), offset + 1, state)
    if chance < 0.2:
        return balancing_event(rng, offset, naive)
    if chance > 0.5:
        return next_event(rng, offset, waiting)
    if naive.rows and rng.random() < 0.9:
        row = rng.choice(naive.rows)
        market, order_id = row.market, row.order_id
        facing = naive.live(market, "sell" if row.side == "buy" else "buy")
        # Where it is, a little away, or across: to anyone, or to one of the same user.
        same_user = [other for other in facing if other.user_id == row.user_id]
        across = rng.choice(rng.choice((facing, same_user)) or [row]).price
        price = rng.choice((row.price, row.price, row.price + rng.randint(-3, 3), across, across))
    else:
        market, order_id = rng.choice(MARKETS), rng.randint(1, offset + 1)
        price = 1_000 + rng.randint(-5, 40)
    return Amend(
        market=market,
        order_id=order_id,
        amendment_id=offset + 1 if rng.random() < 0.95 else rng.randint(1, offset + 1),
        price=price,
        change=rng.choice((0, 1, -1, rng.randint(-25, 25))),
        post_only=rng.random() < 0.2,
        prevention=rng.choice(PREVENTIONS),
    )


def balancing_event(rng: Random, offset: int, naive: NaiveExchange) -> Event:
    """Cancel one of many orders, or place one that rests where there are the fewest: so that there
    is always something to trade with, and never much more than that."""
    if len(naive.rows) > 60:
        row = rng.choice(naive.rows)
        return Event(0, row.market, row.order_id)
    market, side = min(
        ((market, side) for market in MARKETS for side in SIDES),
        key=lambda place: len(naive.live(*place)),
    )
    facing = naive.live(market, "sell" if side == "buy" else "buy")
    away = (facing[0].price if facing else 1_015) - SIDES[side] * rng.randint(1, 4)
    rules: Rules = ("gtc", False, "none", rng.choice(PARTS))
    return Event(0, market, offset + 1, rng.randint(1, 9), side, away, rng.randint(1, 20), rules)

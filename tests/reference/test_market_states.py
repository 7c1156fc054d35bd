"""Markets that change their state: the engine against the naive model, event by event."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from matching.engine import Engine, MarketState
from tests.reference.naive import NaiveExchange
from tests.reference.test_engine_against_naive import (
    MARKETS,
    Event,
    apply_to_engine,
    apply_to_naive,
    assert_same_books,
    cancels,
    distinct_orders,
    in_naive_terms,
    new_engine,
    new_naive,
    places,
    rebuilt_from,
)

STATES: tuple[MarketState, ...] = ("open", "post_only", "cancel_only", "halted")


class Change(NamedTuple):
    """A market is to be in another state."""

    market: str
    change_id: int
    state: MarketState


changes = st.builds(
    Change,
    market=st.sampled_from(MARKETS),
    change_id=st.integers(1, 12),
    state=st.sampled_from(STATES),
)
flows = st.lists(st.one_of(places, places, places, cancels, changes), max_size=60)


def on_engine(engine: Engine, offset: int, event: Event | Change) -> object:
    if isinstance(event, Change):
        return engine.change_market(offset, *event)
    return in_naive_terms(apply_to_engine(engine, offset, event))


def on_naive(naive: NaiveExchange, offset: int, event: Event | Change) -> object:
    if isinstance(event, Change):
        return naive.change_market(offset, **event._asdict())
    return apply_to_naive(naive, offset, event)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(flow=flows)
def test_every_event_has_the_naive_result(flow: list[Event | Change]) -> None:
    engine, naive = new_engine(), new_naive()
    for offset, event in enumerate(flow):
        assert on_engine(engine, offset, event) == on_naive(naive, offset, event)
        assert engine.position == offset
        assert_same_books(engine, naive)
        for market in MARKETS:
            expected = naive.states.get(market, (0, "open"))
            assert (engine.change_of(market), engine.state_of(market)) == expected
        engine.validate()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(flow=flows, data=st.data())
def test_an_engine_rebuilt_at_a_cut_goes_on_as_the_undisturbed_one(
    flow: list[Event | Change], data: st.DataObject
) -> None:
    flow = [
        *distinct_orders([event for event in flow if isinstance(event, Event)]),
        *(event for event in flow if isinstance(event, Change)),
    ]
    flow = data.draw(st.permutations(flow))
    cut = data.draw(st.integers(0, len(flow)), label="cut")
    undisturbed, naive = new_engine(), new_naive()
    for offset, event in enumerate(flow[:cut]):
        on_engine(undisturbed, offset, event)
        on_naive(naive, offset, event)

    rebuilt = rebuilt_from(naive, cut - 1)

    assert rebuilt.state_hash() == undisturbed.state_hash()
    for offset, event in enumerate(flow[cut:], cut):
        assert on_engine(rebuilt, offset, event) == on_engine(undisturbed, offset, event)
        assert rebuilt.state_hash() == undisturbed.state_hash()
        rebuilt.validate()

"""The engine around the books: offsets, orders seen before, the chain of results, recovery."""

from hashlib import sha256

import pytest

from matching.engine import (
    BUY,
    FILL_LIMIT,
    NO_OFFSET,
    SELL,
    CancelOrder,
    Command,
    CrossedBook,
    Engine,
    Execution,
    Fill,
    PlaceOrder,
    UnknownMarket,
)
from tests.unit.drawn_book import EMPTY, draw

BTC = "BTC-USDT"
EUR = "BTC-EUR"


def engine_at(position: int = NO_OFFSET) -> Engine:
    engine = Engine(position)
    engine.add_market(BTC)
    engine.add_market(EUR, last_trade_id=41)
    return engine


def buy(order_id: int, quantity: int = 1, price: int = 100, market: str = BTC) -> PlaceOrder:
    return PlaceOrder(order_id, order_id + 100, market, BUY, price, quantity)


def sell(order_id: int, quantity: int = 1, price: int = 100, market: str = BTC) -> PlaceOrder:
    return PlaceOrder(order_id, order_id + 100, market, SELL, price, quantity)


def test_the_results_of_a_small_flow() -> None:
    engine = engine_at()

    results = [
        engine.apply(0, sell(1, quantity=5, price=101)),
        engine.apply(1, buy(2, quantity=2, price=103)),
        engine.apply(2, buy(3, quantity=4, price=102)),
        engine.apply(3, CancelOrder(3, BTC)),
    ]

    assert results == [
        Execution(BTC, 0, -1, 1, 101, SELL, 101, "open", "", 0, ()),
        Execution(BTC, 1, 0, 2, 102, BUY, 103, "filled", "", 0, (Fill(1, 1, 101, 101, 2),)),
        Execution(
            BTC, 2, 1, 3, 103, BUY, 102, "partially_filled", "", 0, (Fill(2, 1, 101, 101, 3),)
        ),
        Execution(BTC, 3, 2, 3, 103, BUY, 102, "canceled", "", 1, ()),
    ]
    assert draw(engine.book(BTC)) == EMPTY


def test_markets_do_not_see_each_other() -> None:
    engine = engine_at()
    engine.apply(0, sell(1, market=BTC))

    resting = engine.apply(1, buy(2, market=EUR))
    elsewhere = engine.apply(2, CancelOrder(1, EUR))
    traded = engine.apply(3, sell(3, market=EUR))

    assert resting is not None
    assert resting.status == "open"
    assert elsewhere is None
    assert traded is not None
    assert [fill.trade_id for fill in traded.fills] == [42]
    assert draw(engine.book(BTC)) == "sell 100  #1:1"
    assert engine.markets == (EUR, BTC)


def test_a_new_engine_chains_its_first_result_to_the_checkpoint() -> None:
    engine = engine_at(position=70)

    result = engine.apply(75, buy(1))

    assert result is not None
    assert (result.previous_offset, result.offset) == (70, 75)


def test_each_result_names_the_event_before_it_also_one_that_gave_none() -> None:
    engine = engine_at()
    chain: list[tuple[int, int] | None] = []
    for offset, command in (
        (3, buy(1)),
        (4, CancelOrder(99, BTC)),  # nothing to cancel
        (5, buy(1)),  # seen before
        (7, buy(2, market=EUR)),
        (9, CancelOrder(1, BTC)),
    ):
        result = engine.apply(offset, command)
        chain.append(None if result is None else (result.previous_offset, result.offset))
        assert engine.position == offset
    engine.skip(10)
    last = engine.apply(11, buy(3))

    assert chain == [(-1, 3), None, None, (5, 7), (7, 9)]
    assert last is not None
    assert last.previous_offset == 10
    assert engine.position == 11


@pytest.mark.parametrize("offset", [4, 5])
def test_a_redelivered_offset_is_refused_and_changes_nothing(offset: int) -> None:
    engine = engine_at()
    engine.apply(5, sell(1))
    before = engine.state_hash()

    with pytest.raises(ValueError, match=f"offset {offset} is not beyond position 5"):
        engine.apply(offset, buy(2))
    with pytest.raises(ValueError, match=f"offset {offset} is not beyond position 5"):
        engine.skip(offset)

    assert engine.state_hash() == before
    assert engine.position == 5


@pytest.mark.parametrize("command", [buy(2, market="ETH-USDT"), CancelOrder(1, "ETH-USDT")])
def test_an_unknown_market_leaves_the_state_alone(command: Command) -> None:
    engine = engine_at()
    engine.apply(5, sell(1))
    before = engine.state_hash()

    with pytest.raises(UnknownMarket, match="ETH-USDT"):
        engine.apply(6, command)

    assert engine.state_hash() == before
    assert (engine.position, engine.seen_count) == (5, 1)


def test_an_impossible_order_leaves_the_state_alone() -> None:
    engine = engine_at()
    engine.apply(5, sell(1))

    with pytest.raises(AssertionError):
        engine.apply(6, buy(2, quantity=0))

    assert (engine.position, engine.seen_count) == (5, 1)
    assert draw(engine.book(BTC)) == "sell 100  #1:1"


@pytest.mark.parametrize(
    ("name", "between"),
    [
        ("resting", []),
        ("filled", [sell(2)]),
        ("canceled", [CancelOrder(1, BTC)]),
    ],
)
def test_an_order_is_matched_once_however_it_ended(name: str, between: list[Command]) -> None:
    engine = engine_at()
    for offset, command in enumerate([buy(1), *between]):
        engine.apply(offset, command)
    before = engine.state_hash()

    assert engine.apply(10, buy(1)) is None, name

    assert engine.state_hash() == before
    assert engine.position == 10


def test_a_restored_order_is_recognised_when_it_comes_again() -> None:
    engine = engine_at(position=5)
    engine.restore(BTC, 1, 101, BUY, 100, 3)

    assert engine.apply(6, buy(1, quantity=4)) is None

    assert draw(engine.book(BTC)) == "buy  100  #1:3"
    assert engine.position == 6


def test_orders_seen_are_forgotten_through_an_offset() -> None:
    engine = engine_at()
    for offset in range(10):
        engine.apply(offset, buy(offset + 1, price=50))

    engine.forget_seen(through_offset=6)

    assert engine.seen_count == 3
    assert engine.apply(200, buy(8)) is None, "seen at offset 7: remembered"
    assert engine.apply(201, buy(7)) is None, "forgotten, but it still rests"
    assert engine.apply(202, CancelOrder(7, BTC)) is not None
    assert engine.apply(203, buy(7)) is not None, "forgotten and gone: the caller's to know"
    engine.validate()


def test_forgetting_twice_or_too_early_is_harmless() -> None:
    engine = engine_at()
    engine.forget_seen(100)
    engine.apply(7, buy(1))
    engine.forget_seen(6)
    assert engine.seen_count == 1
    engine.forget_seen(7)
    engine.forget_seen(7)
    assert engine.seen_count == 0


def test_the_state_hash_is_of_the_books_alone() -> None:
    # Given a book reached by a replay: an order traded in part, one canceled
    replayed = engine_at()
    flow: list[Command] = [
        sell(1, 5),
        sell(2, 4),
        buy(3, 2),
        buy(4, price=90),
        CancelOrder(4, BTC),
    ]
    for offset, command in enumerate(flow):
        replayed.apply(offset, command)

    # When the same book is reached by a restore, at another position
    restored = Engine(position=77)
    restored.add_market(EUR, last_trade_id=41)
    restored.add_market(BTC, last_trade_id=1, last_price=100)
    restored.restore(BTC, 1, 101, SELL, 100, 3)
    restored.restore(BTC, 2, 102, SELL, 100, 4)

    # Then the hashes are equal
    assert restored.state_hash() == replayed.state_hash()


def test_the_state_hash_tells_books_apart() -> None:
    def hash_of(
        *orders: tuple[str, int, int, int, int, int], last_trade_id: int = 0, market: str = BTC
    ) -> str:
        engine = Engine()
        engine.add_market(market, last_trade_id)
        for order in orders:
            engine.restore(*order)
        return engine.state_hash()

    first, second = (BTC, 1, 1, SELL, 100, 3), (BTC, 2, 1, SELL, 100, 3)
    hashes = [
        hash_of(),
        hash_of(market=EUR),
        hash_of(last_trade_id=1),
        hash_of(first),
        hash_of(second),
        hash_of(first, second),
        hash_of(second, first),
        hash_of((BTC, 1, 2, SELL, 100, 3)),
        hash_of((BTC, 1, 1, BUY, 100, 3)),
        hash_of((BTC, 1, 1, SELL, 101, 3)),
        hash_of((BTC, 1, 1, SELL, 100, 4)),
    ]

    assert len(set(hashes)) == len(hashes)


def test_the_state_hash_is_of_a_plain_text_that_any_program_can_write() -> None:
    engine = engine_at()
    engine.apply(0, sell(2**70, quantity=2**65, price=10**20))
    engine.apply(1, buy(3, quantity=4))

    text = (
        "'BTC-EUR' 41 0\n"
        "'BTC-USDT' 0 2\n"
        "3 103 1 100 4\n"
        f"{2**70} {2**70 + 100} -1 {10**20} {2**65}\n"
    )

    assert engine.state_hash() == sha256(text.encode()).hexdigest()


def test_a_market_is_added_once() -> None:
    engine = engine_at()
    with pytest.raises(ValueError, match=BTC):
        engine.add_market(BTC)


def test_a_snapshot_that_is_no_state_of_a_book_is_refused() -> None:
    engine = engine_at()
    engine.restore(BTC, 1, 1, SELL, 100, 1)
    with pytest.raises(CrossedBook):
        engine.restore(BTC, 2, 2, BUY, 100, 1)
    with pytest.raises(UnknownMarket):
        engine.restore("ETH-USDT", 3, 3, BUY, 1, 1)


def test_a_refused_order_counts_as_seen() -> None:
    engine = engine_at(6)
    assert engine.refuse(7, 1, BTC) is True
    assert engine.refuse(8, 1, BTC) is False
    assert engine.apply(9, buy(1)) is None
    assert engine.position == 9
    engine.forget_seen(7)
    assert engine.apply(10, buy(1)) is not None


def test_an_order_that_has_been_placed_is_not_refused() -> None:
    engine = engine_at()
    engine.apply(0, buy(1))
    engine.forget_seen(0)  # in the book all the same
    assert engine.refuse(1, 1, BTC) is False
    assert len(engine.book(BTC)) == 1


def test_what_could_trade_on_after_the_most_fills_is_canceled() -> None:
    engine = Engine(max_fills=2)
    engine.add_market(BTC)
    for order_id in (1, 2, 3):
        engine.apply(order_id, sell(order_id))
    result = engine.apply(4, buy(4, quantity=5))
    assert result is not None
    assert (result.status, result.reason, result.canceled_quantity) == ("canceled", FILL_LIMIT, 3)
    assert [fill.maker_order_id for fill in result.fills] == [1, 2]
    assert engine.book(BTC).depth() == ([], [(100, 1)])
    engine.validate()


def test_the_most_fills_that_leave_nothing_to_trade_with_let_the_rest_rest() -> None:
    engine = Engine(max_fills=2)
    engine.add_market(BTC)
    for order_id in (1, 2):
        engine.apply(order_id, sell(order_id))
    result = engine.apply(4, buy(4, quantity=5))
    assert result is not None
    assert (result.status, result.reason, result.canceled_quantity) == ("partially_filled", "", 0)
    assert engine.book(BTC).depth() == ([(100, 3)], [])

"""The book that is shown is the engine's own at the place on the log that it names."""

from decimal import Decimal
from typing import Any

import pytest

from balances.models import Checkpoint
from exchange.kafka import Log, partition_for
from exchange.money import format_amount
from matching.market_data import depth as depth_module
from matching.market_data.depth import get_depth
from orders.models import Market, Order
from orders.selectors import Level
from tests.api import ApiClient, refusal
from tests.integration.market_data.support import ADA, answer
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World

Side = list[tuple[Decimal, Decimal]]


def engine_book(world: World, market: Market) -> tuple[int, Side, Side]:
    """The offset up to which the engine has come, and its levels, best first."""
    matcher = world.host._hosted[partition_for(market.base_id)].matcher
    bids, asks = matcher.engine.book(market.symbol).depth()
    tick, lot = market.tick_size, market.lot_size
    in_decimals = [[(price * tick, lots * lot) for price, lots in side] for side in (bids, asks)]
    return matcher.position, in_decimals[0], in_decimals[1]


def shown(market: Market, step: Decimal | None = None, levels: int = 500) -> tuple[Any, Side, Side]:
    depth = get_depth(market=market, levels=levels, step=step)
    return (
        depth.sequence,
        [(x.price, x.quantity) for x in depth.bids],
        [(x.price, x.quantity) for x in depth.asks],
    )


def aggregated(side: Side, step: Decimal, *, up: bool) -> Side:
    """The plainest way: whole steps, by integers."""
    levels: dict[Decimal, Decimal] = {}
    for price, quantity in side:
        units = price / step
        whole = units.to_integral_value("ROUND_CEILING" if up else "ROUND_FLOOR") * step
        levels[whole] = levels.get(whole, Decimal(0)) + quantity
    return sorted(levels.items(), reverse=not up)


@pytest.mark.parametrize("seed", range(3))
def test_the_book_is_that_of_the_engine(exchange_world: World, seed: int) -> None:
    market = Market.objects.get(pk=ADA)
    for part in range(3):
        random_flow(exchange_world, seed=seed * 10 + part, count=30)
        exchange_world.pump()
        position, bids, asks = engine_book(exchange_world, market)
        sequence, shown_bids, shown_asks = shown(market)
        assert sequence.offset == position
        assert (shown_bids, shown_asks) == (bids, asks)
        assert shown(market, levels=1)[1:] == (bids[:1], asks[:1])
        for step in (Decimal("0.0001"), Decimal("0.05"), Decimal("0.3")):
            assert shown(market, step)[1:] == (
                aggregated(bids, step, up=False), aggregated(asks, step, up=True),
            )  # fmt: skip


def test_what_is_matched_and_not_settled_is_not_in_the_book(exchange_world: World) -> None:
    market = Market.objects.get(pk=ADA)
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.match()
    assert shown(market)[1:] == ([], [])
    exchange_world.settle()
    assert shown(market)[1:] == ([(Decimal("1.9"), Decimal(1))], [])


def test_a_book_is_read_again_only_when_something_was_settled(
    exchange_world: World, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_module, "_memory", depth_module._Memory())
    market = Market.objects.get(pk=ADA)
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    with django_assert_num_queries(2):
        first = get_depth(market=market, levels=50)
    with django_assert_num_queries(1):
        assert get_depth(market=market, levels=50) is first
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    with django_assert_num_queries(2):
        assert get_depth(market=market, levels=50).bids == (Level(Decimal("1.9"), Decimal(2)),)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_module, "KEPT", 2)
    memory = depth_module._Memory()
    for key in "abc":
        memory.keep(key, 1, depth_module.Depth(None, (), ()))
    assert [memory.get(key, 1) is None for key in "abc"] == [True, False, False]
    assert memory.get("c", 2) is None


def test_in_a_new_epoch_the_sequence_is_of_that(exchange_world: World) -> None:
    market = Market.objects.get(pk=ADA)
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    before, *book = shown(market)
    with Log() as log:
        log.recreate_topics()
    exchange_world.forget_log()
    exchange_world.restart_matching()
    after, *same_book = shown(market)
    assert (after.epoch, after.offset) == (before.epoch + 1, -1)
    assert same_book == book


def test_before_the_log_has_begun_there_is_no_sequence(api: ApiClient) -> None:
    assert not Checkpoint.objects.exists()
    assert answer(api.get(f"/markets/{ADA}/book"))["sequence"] is None
    assert answer(api.get(f"/markets/{ADA}/bbo")) == {
        "market": ADA, "sequence": None, "bid": None, "ask": None,
    }  # fmt: skip


def test_best_bid_and_offer(exchange_world: World, api: ApiClient) -> None:
    for user, side, price in ((1, "buy", "1.8"), (1, "buy", "1.9"), (2, "sell", 2)):
        exchange_world.place(user, side, 1, price)
    exchange_world.pump()
    best = answer(api.get(f"/markets/{ADA}/bbo"))
    assert (best["bid"], best["ask"]) == (
        {"price": "1.9", "quantity": "1"}, {"price": "2", "quantity": "1"},
    )  # fmt: skip
    checkpoint = Checkpoint.objects.get(pk=partition_for("ADA"))
    assert best["sequence"] == {"epoch": checkpoint.epoch_id, "offset": checkpoint.offset}
    assert Order.objects.filter(offset__lte=checkpoint.offset).count() == 3


def test_depth_by_step_over_http(exchange_world: World, api: ApiClient) -> None:
    for user, side, price in ((1, "buy", "1.81"), (1, "buy", "1.89"), (2, "sell", "2.01")):
        exchange_world.place(user, side, 1, price)
    exchange_world.pump()
    book = answer(api.get(f"/markets/{ADA}/book?step=0.1"))
    assert book["bids"] == [{"price": "1.8", "quantity": "2"}]
    assert book["asks"] == [{"price": "2.1", "quantity": "1"}]


@pytest.mark.parametrize("step", ["0.00005", "0", "-0.1", "0.00015"])
def test_a_step_off_the_ticks_is_refused(api: ApiClient, step: str) -> None:
    response = api.get(f"/markets/{ADA}/book?step={step}")
    assert refusal(response) == (400, "step_not_on_tick", "step")
    assert format_amount(Market.objects.get(pk=ADA).tick_size) in response.json()["message"]

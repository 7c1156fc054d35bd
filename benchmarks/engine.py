"""Measure the engine alone: orders per second, and how flat the cost is as the book grows.

    python -m benchmarks.engine [--orders N] [--runs N]

Flows are seeded, so every run applies the same events. They are generated before the clock
starts; each run has a fresh engine, and the figure is the median of the runs.
"""

import argparse
import gc
import platform
import random
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import perf_counter

from matching.engine import BUY, SELL, CancelOrder, Command, Engine, PlaceOrder, Side

MARKET = "BTC-USDT"
MID_PRICE = 100_000  # ticks
SEED = 20_240_601
RESTING_SIZES = (1_000, 100_000, 1_000_000)


def limit_flow(rng: random.Random, count: int, first_id: int = 1) -> list[Command]:
    """Return limit orders around one price, of which a good part trades."""
    return [
        PlaceOrder(
            order_id=first_id + n,
            user_id=rng.randint(1, 1_000),
            market=MARKET,
            side=rng.choice((BUY, SELL)),
            price=MID_PRICE + rng.randint(-100, 100),
            quantity=rng.randint(1, 100),
        )
        for n in range(count)
    ]


def mixed_flow(rng: random.Random, count: int, cancel_share: float) -> list[Command]:
    """Return a limit flow in which this share of the events cancels a recent order."""
    orders = iter(limit_flow(rng, count))
    flow: list[Command] = []
    recent: list[int] = []
    for _ in range(count):
        if recent and rng.random() < cancel_share:
            slot = rng.randrange(len(recent))
            recent[slot], recent[-1] = recent[-1], recent[slot]
            flow.append(CancelOrder(recent.pop(), MARKET))
        else:
            order = next(orders)
            flow.append(order)
            recent.append(order.order_id)
    return flow


def resting_book(seed: int, size: int) -> Engine:
    """Return an engine with `size` resting orders, about 100 at each price."""
    rng = random.Random(seed)
    engine = new_engine()
    per_side = max(size // 2 // 100, 1)
    for order_id in range(1, size + 1):
        side = BUY if order_id % 2 else SELL
        engine.restore(MARKET, order_id, 1, side, _depth_price(rng, side, per_side), 10)
    return engine


def deep_flow(seed: int, count: int, size: int) -> list[Command]:
    """Return events that keep a resting book at its size, whatever the size.

    Of each four, one cancels a live order anywhere in the book, one trades with the first maker
    at the best price, and two rest at random depth in their place.
    """
    rng = random.Random(seed)
    engine = resting_book(seed, size)  # tells which orders are live: every cancel is to find one
    flow: list[Command] = []
    per_side = max(size // 2 // 100, 1)
    live = list(range(1, size + 1))
    slots = {order_id: slot for slot, order_id in enumerate(live)}
    order_id = size
    while len(flow) < count:
        side = BUY if len(flow) // 4 % 2 else SELL
        taker = PlaceOrder(order_id + 1, 3, MARKET, -side, MID_PRICE - side * per_side, 10)
        traded = engine.apply(len(flow), taker)
        assert traded is not None
        assert traded.status == "filled", "the flow is meant to trade with one resting order"
        canceled = CancelOrder(rng.choice(live), MARKET)
        while canceled.order_id == traded.fills[0].maker_order_id:
            canceled = CancelOrder(rng.choice(live), MARKET)
        first, second = (
            PlaceOrder(order_id + n, 2, MARKET, side, _depth_price(rng, side, per_side), 10)
            for n in (2, 3)
        )
        engine.apply(len(flow) + 1, canceled)
        for gone, rested in ((traded.fills[0].maker_order_id, first), (canceled.order_id, second)):
            slots[rested.order_id] = slot = slots.pop(gone)
            live[slot] = rested.order_id
        for n, order in enumerate((first, second), start=2):
            engine.apply(len(flow) + n, order)
        flow += (taker, canceled, first, second)
        order_id += 3
    return flow


def _depth_price(rng: random.Random, side: Side, per_side: int) -> int:
    return MID_PRICE - side * (1 + rng.randrange(per_side))


def new_engine() -> Engine:
    """Return an engine with one empty market."""
    engine = Engine()
    engine.add_market(MARKET)
    return engine


def orders_per_second(
    build: Callable[[], Engine], flow: Sequence[Command], runs: int
) -> tuple[float, int]:
    """Return (median events per second, live orders at the end)."""
    rates: list[float] = []
    live = 0
    for _ in range(runs):
        engine = build()
        apply = engine.apply
        gc.collect()
        start = perf_counter()
        for offset, command in enumerate(flow):
            apply(offset, command)
        rates.append(len(flow) / (perf_counter() - start))
        live = len(engine.book(MARKET))
    return median(rates), live


def bare_dict_per_second(rng: random.Random, count: int, size: int) -> float:
    """Return how often per second a random entry of a dict is replaced by a new one.

    What the memory of this machine allows: the part of the cost of depth that no book escapes.
    """
    entries = {key: [key, 1, BUY, MID_PRICE, 10] for key in range(size)}
    live = list(entries)
    swaps: list[tuple[int, int]] = []
    for key in range(size, size + count):
        slot = rng.randrange(size)
        swaps.append((live[slot], key))
        live[slot] = key
    gc.collect()
    start = perf_counter()
    for old, new in swaps:
        entry = entries.pop(old)
        entries[new] = [new, 1, BUY, entry[3], entry[4]]
    return count / (perf_counter() - start)


def main() -> None:
    """Print one line per flow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000, help="events per run")
    parser.add_argument("--runs", type=int, default=5, help="runs per figure")
    arguments = parser.parse_args()
    count, runs = arguments.orders, arguments.runs
    print(f"Python {platform.python_version()}, {count:,} events, median of {runs} runs")

    for name, flow in (
        ("limit orders only", limit_flow(random.Random(SEED), count)),
        ("40% cancels", mixed_flow(random.Random(SEED), count, 0.4)),
    ):
        rate, live = orders_per_second(new_engine, flow, runs)
        print(f"{name:<28}{rate:>12,.0f} events/s   {live:>9,} live at the end")

    rates: list[float] = []
    ceilings: list[float] = []
    for size in RESTING_SIZES:
        flow = deep_flow(SEED, count, size)
        build = partial(resting_book, SEED, size)
        rate, live = orders_per_second(build, flow, runs)
        rates.append(rate)
        ceilings.append(bare_dict_per_second(random.Random(SEED), count, size))
        print(f"{f'{size:,} resting':<28}{rate:>12,.0f} events/s   {live:>9,} live at the end")
    print(f"{'largest / smallest book':<28}{rates[0] / rates[-1]:>12.2f} x the cost of an event")
    print(f"{'a bare dict of that size':<28}{ceilings[0] / ceilings[-1]:>12.2f} x the cost")


if __name__ == "__main__":
    main()

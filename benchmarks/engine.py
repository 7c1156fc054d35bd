"""The pure engine: orders per second beside other engines, and how flat the cost stays.

Each run has a fresh engine of each kind, one after the other, so that all of them meet the same
noise. Time is the processor's: what others do on the machine is left out as far as it can be.
Results are part of what is measured: ours come as named tuples with their fills.
"""

import gc
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

from benchmarks.flows import (
    MID_PRICE,
    SEED,
    away_flow,
    deep_flow,
    limit_flow,
    mixed_flow,
    new_engine,
    resting_book,
)
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.rivals import LIGHT, NANOBOOK, NANOBOOK_UNREAD, Rival, TradeFacts
from matching.engine import BUY, Command, Engine

EVENTS = 200_000
LIGHT_EVENTS = 20_000
"""Fewer: its cancels take time in proportion to the book."""
RESTING_SIZES = (1_000, 10_000, 100_000, 1_000_000)
FLAT = 1.25
TRIES = 3
"""Within a run: its figure is their median."""


def measure(options: Options) -> list[Figure]:
    count, few = options.scaled(EVENTS), options.scaled(LIGHT_EVENTS)
    limits = limit_flow(random.Random(SEED), count)
    away = away_flow(random.Random(SEED), count, 0.4)
    mixed = mixed_flow(random.Random(SEED), count, 0.4)
    beats_rust, beats_python = Goal(ratio_at_least=1.0), Goal(ratio_at_least=3.0)
    comparisons: list[tuple[str, list[Command], Rival, Goal]] = [
        ("limit orders", limits, NANOBOOK, beats_rust),
        ("limit orders", limits, NANOBOOK_UNREAD, Goal()),
        ("limit orders", limits[:few], LIGHT, beats_python),
        ("40 % cancels, far from the price", away, NANOBOOK, beats_rust),
        ("40 % cancels, far from the price", away, NANOBOOK_UNREAD, Goal()),
        ("40 % cancels, far from the price", away[:few], LIGHT, beats_python),
    ]
    figures = [_compare(*comparison) for comparison in comparisons]
    anywhere = count / seconds(new_engine, mixed)
    figures.append(Figure("engine", "40 % cancels, anywhere (ours alone)", "events/s", (anywhere,)))
    return figures + _depth(options)


def _compare(name: str, flow: list[Command], rival: Rival, goal: Goal) -> Figure:
    assert rival.trades(flow) == our_trades(flow), f"{rival.name} has other trades"
    ours = [seconds(new_engine, flow) for _ in range(TRIES)]
    theirs = [rival.seconds(flow) for _ in range(TRIES)]
    return Figure(
        "engine", name, "events/s", (len(flow) / median(ours),),
        rival.name, (len(flow) / median(theirs),), goal,
    )  # fmt: skip


def our_trades(flow: Sequence[Command]) -> list[TradeFacts]:
    """Return what our engine trades, as all engines can say it."""
    engine = new_engine()
    results = [engine.apply(offset, command) for offset, command in enumerate(flow)]
    return [
        (fill.maker_order_id, fill.price, fill.quantity)
        for result in results
        if result is not None
        for fill in result.fills
    ]


def seconds(build: Callable[[], Engine], flow: Sequence[Command]) -> float:
    """Return how long a fresh engine takes for a flow."""
    engine = build()
    apply = engine.apply
    gc.collect()
    start = process_time()
    for offset, command in enumerate(flow):
        apply(offset, command)
    return process_time() - start


def _depth(options: Options) -> list[Figure]:
    """Measure the cost of an event at each size of the book, against that of the smallest."""
    count = options.scaled(EVENTS)
    sizes = [options.scaled(size, least=100) for size in RESTING_SIZES]
    costs = {size: _cost(size, count) for size in sizes}
    least, most = sizes[0], sizes[-1]
    figures = [
        Figure(
            "engine", f"an event with {size:,} resting", "µs", (costs[size],),
            f"with {least:,} resting", (costs[least],), Goal(ratio_at_most=FLAT),
        )
        for size in sizes[1:]
    ]  # fmt: skip
    bare = [_bare_dict(random.Random(SEED), count, size) * 1e6 for size in (most, least)]
    figures.append(
        Figure(
            "engine", f"replacing an entry of a bare dict of {most:,}", "µs", (bare[0],),
            f"of {least:,}", (bare[1],),
        )
    )  # fmt: skip
    return figures


def _cost(size: int, count: int) -> float:
    """Return the microseconds of an event on a book of this size."""
    flow = deep_flow(SEED, count, size)
    return (
        median(seconds(lambda: resting_book(SEED, size), flow) for _ in range(TRIES)) / count * 1e6
    )


def _bare_dict(rng: random.Random, count: int, size: int) -> float:
    """Return the seconds to replace a random entry of a dict by a new one.

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
    start = process_time()
    for old, new in swaps:
        entry = entries.pop(old)
        entries[new] = [new, 1, BUY, entry[3], entry[4]]
    return (process_time() - start) / count

"""Seeded flows of events for the engine: every run applies the same ones.

They are made before any clock starts. Order ids count from 1 in the order of the flow, as other
people's engines number them.
"""

import random

from matching.engine import BUY, SELL, CancelOrder, Command, Engine, PlaceOrder, Side

MARKET = "BTC-USDT"
MID_PRICE = 100_000  # ticks
SEED = 20_240_601


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


def away_flow(rng: random.Random, count: int, cancel_share: float) -> list[Command]:
    """Return a flow in which only orders far from the price are canceled, each once.

    This share of the events are cancels, as many place an order that nothing reaches, and the rest
    trade as in `limit_flow`. For engines that do not survive the cancel of an order that is next
    to trade.
    """
    near = iter(limit_flow(rng, count))
    flow: list[Command] = []
    far: list[int] = []
    order_id = 0
    while len(flow) < count:
        draw = rng.random()
        if draw < cancel_share and far:
            slot = rng.randrange(len(far))
            far[slot], far[-1] = far[-1], far[slot]
            flow.append(CancelOrder(far.pop(), MARKET))
            continue
        order_id += 1
        if draw < 2 * cancel_share:
            side = rng.choice((BUY, SELL))
            price = MID_PRICE - side * rng.randint(1_000, 1_200)
            flow.append(PlaceOrder(order_id, rng.randint(1, 1_000), MARKET, side, price, 10))
            far.append(order_id)
        else:
            order = next(near)
            assert isinstance(order, PlaceOrder)
            flow.append(order._replace(order_id=order_id))
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

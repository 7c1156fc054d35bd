"""`POST /orders`, one by one: 16 clients, everything durable, the workers matching meanwhile.

The ceiling is a view on the same server that does nothing but read the order with the same
serializer and hold and insert in one statement (`benchmarks.bare`).
"""

import json
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal

from benchmarks.bare_process import bare_process, make_bare_database
from benchmarks.flows import SEED
from benchmarks.http_load import Load, ask_all, in_turns, request_bytes
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import require_sound_books, running_exchange, wait_until
from benchmarks.waiting import count_pending
from exchange.embedded.ports import free_port

CLIENTS = 16
USERS = 200
SECONDS = 5.0
TURNS = 3
MARKETS = {
    "ADA-USDT": (19_000, Decimal("0.0001"), Decimal("0.01")),
    "BTC-USDT": (6_000_000, Decimal("0.01"), Decimal("0.0001")),
    "ETH-USDT": (300_000, Decimal("0.01"), Decimal("0.0001")),
    "SOL-USDT": (150_000, Decimal("0.001"), Decimal("0.001")),
}
"""A price in ticks to trade around, the tick, the lot."""


def measure(options: Options) -> list[Figure]:
    port, seconds = free_port(), SECONDS * options.scale
    with running_exchange(
        kafka=options.kafka, users=USERS, more=[bare_process("orders", port)]
    ) as stack:
        make_bare_database(stack.environment(), users=USERS)
        users = trader_ids()

        rates = in_turns(
            {
                "exchange": lambda: place_all(stack.ports["orders"], "/orders", users, seconds),
                "bare": lambda: place_all(port, "/hold", users, seconds),
            },
            TURNS,
        )
        wait_until(lambda: count_pending() == 0)
        require_sound_books(stack)
    return [
        Figure(
            "accept", f"POST /orders, {CLIENTS} clients", "orders/s", (rates["exchange"],),
            "a bare view, one statement", (rates["bare"],), Goal(ratio_at_least=0.7),
        )
    ]  # fmt: skip


def place_all(port: int, path: str, users: Sequence[int], seconds: float) -> Load:
    """Let the clients place orders there, as fast as they are answered."""
    bodies = (json.dumps(order).encode() for order in random_orders(users))
    requests = (request_bytes("POST", path, body) for body in bodies)
    return ask_all(port, requests, clients=CLIENTS, expect=201, seconds=seconds)


def random_orders(users: Sequence[int]) -> Iterator[dict[str, object]]:
    """Yield orders without end, as clients send them: about 0.8 trades come of each."""
    rng = random.Random(SEED)
    while True:
        market = rng.choice(tuple(MARKETS))
        middle, tick, lot = MARKETS[market]
        yield {
            "user_id": rng.choice(users),
            "market": market,
            "side": rng.choice(("buy", "sell")),
            "type": "limit",
            "price": str((middle + rng.randint(-100, 100)) * tick),
            "quantity": str(rng.randint(1, 100) * lot),
        }


def trader_ids() -> list[int]:
    """Return the ids of the funded traders; the same in both databases."""
    from exchange.models import User

    return list(User.objects.filter(username__startswith="trader").values_list("pk", flat=True))

"""`GET /balance/{user_id}` from the cache, beside a view with a constant of that size."""

import itertools

from benchmarks.accept import trader_ids
from benchmarks.bare_process import bare_process
from benchmarks.http_load import Load, ask_all, in_turns, request_bytes
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import running_exchange, wait_until
from exchange.embedded.ports import free_port

CLIENTS = 16
USERS = 200
SECONDS = 5.0
TURNS = 3


def is_cached(user_id: int) -> bool:
    """Return whether the cache answers; a new one is not believed for the first seconds."""
    from balances.selectors import get_balances

    found = get_balances(user_id=user_id)
    return found is not None and found.source == "cache"


def measure(options: Options) -> list[Figure]:
    port, seconds = free_port(), SECONDS * options.scale
    with running_exchange(
        kafka=options.kafka, users=USERS, more=[bare_process("balances", port)]
    ) as stack:
        paths = [f"/balance/{user_id}" for user_id in trader_ids()]

        def ask(port: int, paths: list[str]) -> Load:
            requests = itertools.cycle([request_bytes("GET", path) for path in paths])
            return ask_all(port, requests, clients=CLIENTS, expect=200, seconds=seconds)

        wait_until(lambda: all(is_cached(user_id) for user_id in trader_ids()))
        rates = in_turns(
            {
                "exchange": lambda: ask(stack.ports["balances"], paths),
                "bare": lambda: ask(port, ["/constant"]),
            },
            TURNS,
        )
    return [
        Figure(
            "read", f"GET /balance/{{user_id}}, {CLIENTS} clients", "answers/s",
            (rates["exchange"],), "a bare view, a constant", (rates["bare"],),
            Goal(ratio_at_least=0.7),
        )
    ]  # fmt: skip

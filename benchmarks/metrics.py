"""What counting costs: nanoseconds of processor time for each thing that a process counts.

`python -m benchmarks.metrics`. Needs no server.
"""

import os
import timeit
from collections.abc import Callable
from time import process_time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

from exchange.metrics import BALANCE_READS, ORDERS, BridgeMetrics, count_settled

NUMBER = 100_000
ROUNDS = 5


def main() -> None:
    """Measure each, the best of a few rounds, and print a table."""
    bridge = BridgeMetrics("benchmark")
    statuses = ["open", "filled", "partially_filled", "canceled"] * 125
    cases: dict[str, tuple[Callable[[], object], int]] = {
        "an order, by its result": (lambda: ORDERS.labels("accepted").inc(), 1),
        "a read of a balance": (lambda: BALANCE_READS.labels("hit").inc(), 1),
        "a batch of a bridge": (lambda: bridge.batch_done(500, 0.05), 1),
        "a settled result, in a batch of 500": (lambda: count_settled(statuses, 500), 500),
    }
    for what, (count, things) in cases.items():
        number = NUMBER // things
        seconds = min(timeit.repeat(count, timer=process_time, number=number, repeat=ROUNDS))
        print(f"{what:40} {seconds / number / things * 1e9:8.0f} ns")


if __name__ == "__main__":
    main()

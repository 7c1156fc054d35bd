"""Latency and accepted orders over offered load: what an order waits for when more and more come.

So many orders a second are offered one by one for some time, whether the earlier ones are answered
or not as long as there are clients; then more. Part of each load are the probes of
`benchmarks.latency`, which say how long it takes from the 201 to the settled balance. Between two
loads everything is settled. The ceilings are those of the parts `accept` and `latency`, measured
in the same run.
"""

import threading
import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.accept import CLIENTS, place_all, trader_ids
from benchmarks.bare_process import bare_process, make_bare_database
from benchmarks.http_load import Load, ask_all
from benchmarks.latency import Probe, bare_times, paced, share_of
from benchmarks.options import Options
from benchmarks.report import Figure
from benchmarks.system import require_sound_books, running_exchange, wait_until
from benchmarks.waiting import count_pending
from exchange.embedded.ports import free_port
from exchange.stack.stack import Stack

OFFERED = (10, 25, 50, 100, 150, 200, 300)
"""Orders a second, those of the probes included."""
SECONDS = 30.0
BARE_SECONDS = 5.0
PROBES_PER_SECOND = 5.0
ORDERS_OF_A_PROBE = 2
USERS = 200


@dataclass(frozen=True)
class Point:
    """What a load came to: orders/s offered and accepted, and milliseconds from 201 to balance."""

    offered: float
    accepted: float
    median_ms: float
    p99_ms: float
    probes: int


def measure(options: Options) -> list[Figure]:
    port, seconds = free_port(), max(SECONDS * options.scale, 3.0)
    with running_exchange(
        kafka=options.kafka, users=USERS, more=[bare_process("orders", port)]
    ) as stack:
        make_bare_database(stack.environment(), users=USERS)
        points = []
        for number, offered in enumerate(OFFERED):
            options.advance(number / len(OFFERED))
            points.append(_offer(stack, offered, seconds))
            wait_until(lambda: count_pending() == 0)
        bare = place_all(port, "/hold", trader_ids(), BARE_SECONDS * options.scale).per_second
        there_and_back = bare_times(int(seconds * PROBES_PER_SECOND))
        require_sound_books(stack)
    bare_ms = {share: share_of(there_and_back, share) for share in (50, 99)}
    options.details.update(
        kafka=options.kafka, points=[vars(point) for point in points], bare_accepted=bare,
        bare_median_ms=bare_ms[50], bare_p99_ms=bare_ms[99],
    )  # fmt: skip
    return [figure for point in points for figure in _figures(point, bare, bare_ms)]


def _figures(point: Point, bare: float, bare_ms: dict[int, float]) -> list[Figure]:
    where = f"{point.offered:g} orders/s offered"
    path = "a record there and back, a commit"
    return [
        Figure(
            "load", f"accepted, {where}", "orders/s", (point.accepted,),
            "a bare view, one statement", (bare,),
        ),
        Figure(
            "load", f"201 to balance, median, {where}", "ms", (point.median_ms,), path,
            (bare_ms[50],),
        ),
        Figure(
            "load", f"201 to balance, 99th percentile, {where}", "ms", (point.p99_ms,), path,
            (bare_ms[99],),
        ),
    ]  # fmt: skip


def _offer(stack: Stack, offered: float, seconds: float) -> Point:
    """Offer a load for some time."""
    maker, taker, *others = trader_ids()
    stop = threading.Event()
    rest = offered - PROBES_PER_SECOND * ORDERS_OF_A_PROBE
    loads: list[Load] = []
    errors: list[BaseException] = []

    def place() -> None:
        try:
            requests = paced(others, stop, rest)
            loads.append(
                ask_all(
                    stack.ports["orders"], requests, clients=CLIENTS, expect=201,
                    seconds=float("inf"),
                )
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    load = threading.Thread(target=place)
    began = time.monotonic()
    if rest > 0:
        load.start()
    try:
        with closing(Probe(stack, maker, taker)) as probe:
            took = _probe(probe, seconds)
    finally:
        stop.set()
        if rest > 0:
            load.join()
    if errors:
        raise errors[0]
    orders = len(took) * ORDERS_OF_A_PROBE + sum(load.answers for load in loads)
    accepted = orders / (time.monotonic() - began)
    return Point(offered, accepted, share_of(took, 50), share_of(took, 99), len(took))


def _probe(probe: Probe, seconds: float) -> list[float]:
    """Return the milliseconds of the probes in this time, each begun when it is due or later."""
    began = due = time.monotonic()
    took = []
    while time.monotonic() < began + seconds:
        time.sleep(max(due - time.monotonic(), 0))
        took.append(probe.seconds() * 1e3)
        due += 1 / PROBES_PER_SECOND
    return took

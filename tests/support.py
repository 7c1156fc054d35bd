"""What tests of the pipeline say in one line: place, pump, look, compare.

`World` drives the real pipeline in this process: orders go through the service into Postgres and
onto the real log; `pump` reads the log and runs the matching and the settlement task on it, as
the bridges would. Nothing is mocked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django_redis import get_redis_connection

from balances import cache, trust
from balances.audit import CHECKS, Outcome, parameters, run_check
from balances.audit.cached import compare_cache
from balances.audit.runner import partitions_of_assets
from balances.models import Balance
from exchange.kafka import ORDER_EVENTS, TRADE_EVENTS, LogRecord, TopicReader, topic_name
from matching.host import MatchingHost
from orders import outbox, seeding, trace
from orders.amending import request_amendment
from orders.models import Amendment, Order
from orders.services import place_order, request_cancel


@dataclass
class World:
    """An exchange under test."""

    host: MatchingHost = field(default_factory=MatchingHost)
    matched_up_to: dict[int, int] = field(default_factory=dict)
    settled_up_to: dict[int, int] = field(default_factory=dict)
    begun: bool = False

    def seed(self) -> None:
        seeding.seed_markets()
        seeding.seed_traders()

    def close(self) -> None:
        outbox.close()
        trace.lookup.close()
        self.host.close()
        stop_reading()

    def place(
        self,
        user_id: int,
        side: str,
        quantity: str | int | None,
        price: str | int | None,
        *,
        market: str = "ADA-USDT",
        client_order_id: str | None = None,
        time_in_force: str = "gtc",
        post_only: bool = False,
        self_trade_prevention: str = "none",
        expires_at: datetime | None = None,
        order_type: str | None = None,
        quote_amount: str | int | None = None,
        stop_price: str | int | None = None,
        visible_quantity: str | int | None = None,
    ) -> Order:
        """Place an order through the service, and wait until it is on the log."""
        placed = place_order(
            user_id=user_id,
            market=market,
            side=side,
            price=None if price is None else Decimal(price),
            quantity=None if quantity is None else Decimal(quantity),
            client_order_id=client_order_id,
            time_in_force=time_in_force,
            post_only=post_only,
            self_trade_prevention=self_trade_prevention,
            expires_at=expires_at,
            order_type=order_type or ("limit" if stop_price is None else "stop_limit"),
            quote_amount=None if quote_amount is None else Decimal(quote_amount),
            stop_price=None if stop_price is None else Decimal(stop_price),
            visible_quantity=None if visible_quantity is None else Decimal(visible_quantity),
        )
        outbox.flush()
        return placed.order

    def cancel(self, order: Order) -> None:
        """Ask for a cancel through the service, and wait until that is on the log."""
        request_cancel(order_id=order.pk)
        outbox.flush()

    def amend(
        self, order: Order, *, price: str | int | None = None, quantity: str | int | None = None
    ) -> Amendment:
        """Ask for an amendment through the service, and wait until that is on the log."""
        amendment = request_amendment(
            order_id=order.pk,
            price=None if price is None else Decimal(price),
            quantity=None if quantity is None else Decimal(quantity),
        )
        outbox.flush()
        return amendment

    def order_events(self) -> list[LogRecord]:
        return records_on(ORDER_EVENTS)

    def trade_events(self) -> list[LogRecord]:
        return records_on(TRADE_EVENTS)

    def match(self) -> int:
        """Match what is on `order-events` and new to this worker; return the results published."""
        if not self.begun:
            self.restart_matching()
        due = _beyond(self.matched_up_to, self.order_events())
        results = self.host.match(due)
        self.matched_up_to |= {record.partition: record.offset for record in due}
        return results

    def settle(self) -> int:
        """Settle what is on `trade-events` and new to this worker; return the results settled."""
        due = _beyond(self.settled_up_to, self.trade_events())
        settled = settle_records(due)
        self.settled_up_to |= {record.partition: record.offset for record in due}
        return settled

    def pump(self) -> None:
        """Match and settle everything that is on the log."""
        self.match()
        self.settle()

    def forget_log(self) -> None:
        """The log has been made anew: nothing that was read from it counts any more."""
        stop_reading()
        self.begun = False
        self.matched_up_to, self.settled_up_to = {}, {}

    def restart_matching(self) -> None:
        """A matching worker that has just started: engines from Postgres, log from checkpoints."""
        from django.conf import settings

        self.host.close()
        self.host = MatchingHost()
        begins = self.host.begin(set(range(settings.KAFKA_PARTITIONS)))
        self.matched_up_to = {p: (begin or 0) - 1 for p, begin in begins.items()}
        self.begun = True


_readers: dict[str, tuple[TopicReader, list[LogRecord]]] = {}


def records_on(topic: str) -> list[LogRecord]:
    """Return all that `topic` has held since it was first looked at here; reads only what is new."""
    name = topic_name(topic)
    if name not in _readers:
        _readers[name] = (TopicReader(topic), [])
    reader, records = _readers[name]
    records += reader.read_new()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def stop_reading() -> None:
    """Forget what has been read, and close the connections: the topics go, or are made anew."""
    for reader, _ in _readers.values():
        reader.close()
    _readers.clear()


def settle_records(records: Sequence[LogRecord]) -> int:
    """Run the settlement task on a batch, as the bridge does."""
    from balances.tasks import settle_trades

    if not records:
        return 0
    result: int = settle_trades.apply(args=(records,), throw=True).get()
    return result


def _beyond(reached: dict[int, int], records: list[LogRecord]) -> list[LogRecord]:
    return [record for record in records if record.offset > reached.get(record.partition, -1)]


def balance_of(user_id: int, asset: str) -> tuple[str, str]:
    """Return (available, held) from Postgres, as plain decimal strings."""
    from exchange.money import format_amount

    row = Balance.objects.filter(user_id=user_id, asset_id=asset).first()
    if row is None:
        return ("0", "0")
    return (format_amount(row.available), format_amount(row.held))


def status_of(order: Order) -> tuple[str, str]:
    """Return (status, filled quantity) from Postgres."""
    from exchange.money import format_amount

    order.refresh_from_db()
    return (order.status, format_amount(order.filled_quantity))


def trust_cache() -> None:
    """Let the cache be believed at once: no transaction is under way whose mark could be lost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_cachetrust SET confirmed_at = confirmed_at - interval '1 minute'"
        )
    if not trust.is_trusted():
        trust.restore()
    get_redis_connection("default").delete(cache.QUARANTINE_KEY)
    assert trust.restore(), "the cache is not trusted"


def differences() -> list[str]:
    """Return every way in which the books do not balance; empty when all promises are kept."""
    given = parameters(partitions_of_assets())
    with connection.cursor() as cursor:
        outcomes = [run_check(cursor, check, given, 0) for check in CHECKS.values()]
    # A cache that is not to be believed, after a Redis too slow to answer, is read by nobody.
    return described([*outcomes, compare_cache()] if trust.is_trusted() else outcomes)


def described(outcomes: Iterable[Outcome]) -> list[str]:
    """Return a line for each row that was found, and for each check that could not look."""
    lines = []
    for outcome in outcomes:
        lines += [f"{outcome.name}: {row}" for row in outcome.first]
        lines += [f"{outcome.name}: {outcome.not_checked}"] if outcome.not_checked else []
    return lines

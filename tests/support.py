"""What tests of the pipeline say in one line: place, pump, look, compare.

`World` drives the real pipeline in this process: orders go through the service into Postgres and
onto the real log; `pump` reads the log and runs the matching and the settlement task on it, as
the bridges would. Nothing is mocked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django_redis import get_redis_connection

from balances import cache, trust
from balances.models import Balance
from exchange.kafka import ORDER_EVENTS, TRADE_EVENTS, LogRecord, TopicReader, topic_name
from matching.host import MatchingHost
from orders import outbox, seeding
from orders.models import Order
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
        self.host.close()
        stop_reading()

    def place(
        self,
        user_id: int,
        side: str,
        quantity: str | int,
        price: str | int,
        *,
        market: str = "ADA-USDT",
        client_order_id: str | None = None,
    ) -> Order:
        """Place an order through the service, and wait until it is on the log."""
        placed = place_order(
            user_id=user_id,
            market=market,
            side=side,
            price=Decimal(price),
            quantity=Decimal(quantity),
            client_order_id=client_order_id,
        )
        outbox.flush()
        return placed.order

    def cancel(self, order: Order) -> None:
        """Ask for a cancel through the service, and wait until that is on the log."""
        request_cancel(order_id=order.pk)
        outbox.flush()

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
    found: list[str] = []
    for name, query in CHECKS.items():
        with connection.cursor() as cursor:
            cursor.execute(query)
            found += [f"{name}: {row}" for row in cursor.fetchall()]
    return found + _cache_differences()


def _cache_differences() -> list[str]:
    found = []
    stored: dict[tuple[int, str], Any] = {
        (row.user_id, row.asset_id): row for row in Balance.objects.all()
    }
    for user_id in {key[0] for key in stored}:
        for asset, value in cache.raw_entry(user_id).items():
            name, text = asset.decode(), value.decode()
            if not name.startswith("a:") or text.startswith("~"):
                continue
            row = stored[user_id, name.removeprefix("a:")]
            expected = f"{row.version}:{row.available:f}:{row.held:f}"
            if text != expected:
                found.append(f"cache of user {user_id} {name}: {text}, not {expected}")
    return found


CHECKS = {
    "conservation": """
        SELECT asset_id, sum(available + held),
          (SELECT coalesce(sum(available_change), 0) FROM balances_ledgerentry l
           WHERE l.asset_id = b.asset_id AND kind IN ('deposit', 'withdrawal'))
        FROM balances_balance b GROUP BY asset_id
        HAVING sum(available + held) <>
          (SELECT coalesce(sum(available_change), 0) FROM balances_ledgerentry l
           WHERE l.asset_id = b.asset_id AND kind IN ('deposit', 'withdrawal'))""",
    "overdraft": "SELECT user_id, asset_id FROM balances_balance WHERE available < 0 OR held < 0",
    "balance against ledger": """
        SELECT user_id, asset_id FROM balances_balance b
        FULL JOIN (SELECT user_id, asset_id, sum(available_change) AS a, sum(held_change) AS h
                   FROM balances_ledgerentry GROUP BY 1, 2) l USING (user_id, asset_id)
        WHERE coalesce(b.available, 0) <> coalesce(l.a, 0) OR coalesce(b.held, 0) <> coalesce(l.h, 0)
        """,
    "last ledger entry against balance": """
        SELECT DISTINCT ON (l.user_id, l.asset_id) l.user_id, l.asset_id, l.available_after, b.available
        FROM balances_ledgerentry l JOIN balances_balance b USING (user_id, asset_id)
        WHERE (l.available_after, l.held_after) <> (b.available, b.held)
          AND l.id = (SELECT max(id) FROM balances_ledgerentry m
                      WHERE m.user_id = l.user_id AND m.asset_id = l.asset_id)""",
    "holds": """
        SELECT user_id, asset_id, b.held, o.held FROM balances_balance b
        FULL JOIN (
          SELECT user_id, CASE side WHEN 'buy' THEN quote_id ELSE base_id END AS asset_id,
            sum((quantity - filled_quantity) * CASE side WHEN 'buy' THEN price ELSE 1 END) AS held
          FROM orders_order JOIN orders_market ON symbol = market_id
          WHERE status IN ('pending', 'open', 'partially_filled') GROUP BY 1, 2
        ) o USING (user_id, asset_id)
        WHERE coalesce(b.held, 0) <> coalesce(o.held, 0)""",
    "fills against trades": """
        SELECT id, filled_quantity, filled_quote FROM orders_order o
        WHERE (filled_quantity, filled_quote) <> (
          SELECT coalesce(sum(quantity), 0), coalesce(sum(quantity * price), 0)
          FROM balances_trade t WHERE t.buy_order_id = o.id OR t.sell_order_id = o.id)""",
    "trade ids dense": """
        SELECT market_id, count(*), max(trade_id) FROM balances_trade
        GROUP BY market_id HAVING count(*) <> max(trade_id)""",
    "crossed book": """
        SELECT market_id, max(price) FILTER (WHERE side = 'buy'), min(price) FILTER (WHERE side = 'sell')
        FROM orders_order WHERE status IN ('open', 'partially_filled') GROUP BY market_id
        HAVING max(price) FILTER (WHERE side = 'buy') >= min(price) FILTER (WHERE side = 'sell')""",
    "halts": "SELECT market_id, reason FROM balances_markethalt",
    "halted partitions": "SELECT partition FROM balances_checkpoint WHERE halted_reason <> ''",
}

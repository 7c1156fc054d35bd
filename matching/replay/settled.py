"""What Postgres has settled of a partition's log, read beside the log: orders and trades.

Orders come from one query in the order of their offsets, and are merged with what the replay says
of each offset. Trades are asked for by number, a piece of the log at a time. So no more is in
memory than a piece.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.db import connection

from balances.fees import charge
from balances.selectors import fee_terms_of
from balances.settlement import TradeRow, plan
from exchange.arrays import columns
from exchange.money import format_amount
from exchange.records import Execution
from matching.replay.tally import Tallies, Tally
from orders.models import Order

FETCH = 5_000


class PlacedOrder(NamedTuple):
    """An order with a place on the log, as it is settled."""

    offset: int
    order_id: int
    status: str


class SettledOrders:
    """The placed orders of a partition from `after` on, to be met in the order of the log."""

    def __init__(
        self, partition: int, markets: Sequence[str], first_epoch: int, after: int, tallies: Tallies
    ) -> None:
        self._partition = partition
        self._tally = tallies.orders
        self._records = tallies.records
        rows = Order.objects.filter(
            market_id__in=markets, epoch__gte=first_epoch, offset__gt=after
        ).order_by("offset", "pk")
        self._rows: Iterator[PlacedOrder] = map(
            PlacedOrder._make,
            rows.values_list("offset", "pk", "status").iterator(chunk_size=FETCH),
        )
        self._next = next(self._rows, None)

    def meet(self, execution: Execution, problem: str) -> None:
        """Compare what the replay says of the new order at `execution.offset`.

        `problem`: why its record could not be used, or "".
        """
        self._tally.looked_at += 1
        self._pass(execution.offset)
        settled, offset, order_id = self._next, execution.offset, execution.order_id
        if settled is None or settled.offset != offset:
            self._tally.add(self._partition, offset, order_id, None, None, "not settled here")
            return
        self._next = next(self._rows, None)
        if settled.order_id != order_id:
            wrong = "another order is settled here"
        elif problem and settled.status != "rejected":
            self._records.add(self._partition, offset, order_id, problem)
            return
        elif settled.status == "rejected" and not problem:
            wrong = "the log does not reject it"
        else:
            return
        self._tally.add(self._partition, offset, order_id, *settled[1:], wrong)

    def end(self) -> None:
        """The log has been read: whatever is left has no place on it."""
        self._pass(None)

    def _pass(self, offset: int | None) -> None:
        while self._next is not None and (offset is None or self._next.offset < offset):
            extra = self._next
            self._tally.looked_at += 1
            self._tally.add(
                self._partition, extra.offset, None, extra.order_id, extra.status,
                "the settled part of the log has no such order here",
            )  # fmt: skip
            self._next = next(self._rows, None)


FIELDS = TradeRow._fields[2:]


def compare_trades(executions: Sequence[Execution], tally: Tally) -> None:
    """Compare the trades of `executions` with those that are settled under their numbers.

    The fees are those of the rates that the orders were accepted with: of an order whose record is
    in this log, they have been compared with the record.
    """
    planned = plan(executions)
    charge(planned, fee_terms_of(planned.orders))
    made = {(row.market, row.trade_id): row for row in planned.trades}
    if not made:
        return
    tally.looked_at += len(made)
    settled = _trades_numbered(list(made))
    for key, by_log in made.items():
        found = settled.get(key)
        if found is None:
            tally.add(*key, "missing", _written(by_log), "no such trade")
        elif found != by_log:
            for name, ours, theirs in zip(FIELDS, by_log[2:], found[2:], strict=True):
                if ours != theirs:
                    tally.add(*key, name, ours, theirs)


def compare_last_trades(last_trade_ids: dict[str, int], tally: Tally) -> None:
    """Find the settled trades that are numbered beyond the last one that the log makes."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM balances_trade t"  # noqa: S608 - our own SQL
            " JOIN unnest(%s::varchar[], %s::bigint[]) AS l(market_id, last)"
            " ON l.market_id = t.market_id AND t.trade_id > l.last ORDER BY 1, 2",
            [list(last_trade_ids), list(last_trade_ids.values())],
        )
        while rows := cursor.fetchmany(FETCH):
            for row in map(TradeRow._make, rows):
                tally.looked_at += 1
                tally.add(row.market, row.trade_id, "extra", "no such trade", _written(row))


_COLUMNS = (
    "t.market_id, t.trade_id, t.price, t.quantity, t.taker_side, t.buy_order_id, t.sell_order_id,"
    " t.buyer_id, t.seller_id, t.buyer_fee, t.seller_fee"
)


def _trades_numbered(keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], TradeRow]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM balances_trade t"  # noqa: S608 - our own SQL
            " JOIN unnest(%s::varchar[], %s::bigint[]) AS k(market_id, trade_id)"
            " ON k.market_id = t.market_id AND k.trade_id = t.trade_id",
            columns(keys),
        )
        return {(row[0], row[1]): TradeRow._make(row) for row in cursor.fetchall()}


def _written(row: TradeRow) -> str:
    return (
        f"{format_amount(row.quantity)} at {format_amount(row.price)},"
        f" {row.buy_order_id} buys of {row.sell_order_id}"
    )

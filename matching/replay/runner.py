"""The replay: partition by partition, in one snapshot of Postgres, up to its checkpoints.

The snapshot is taken first; the log is then read up to what the snapshot has settled, so whatever
goes on meanwhile is not looked at. Of the log there is a piece in memory at a time, of Postgres the
books of one partition.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from balances.audit.check import Outcome
from balances.models import Checkpoint
from exchange.kafka import ORDER_EVENTS, Log, LogRecord, TopicScan
from exchange.records import Execution
from matching.engine import Engine
from matching.partition import DecodedRecord, Facts, PartitionMatcher, decode, facts_of
from matching.recovery import (
    LiveOrder,
    Recovered,
    Scale,
    WaitingStop,
    last_trade,
    live_orders,
    markets_on,
    open_market,
    settled_state,
    snapshot,
    waiting_stops,
)
from matching.replay.archive import Archive, ArchiveWriter
from matching.replay.beginning import (
    CannotReplayError,
    LogBeginning,
    present_log,
    restore_orders,
    state_at_beginning,
)
from matching.replay.books import compare_books
from matching.replay.halts import LeftOut, events_left_out
from matching.replay.settled import SettledOrders, compare_last_trades, compare_trades
from matching.replay.tally import Tallies


class Stretch(NamedTuple):
    """What was replayed of a partition: events from `first` through `last`, some `left_out`."""

    partition: int
    first: int
    last: int
    records: int
    left_out: int


@dataclass(frozen=True)
class Replayed:
    """What a replay came to. `archived`: whether the checkpoint has been written."""

    outcomes: tuple[Outcome, ...]
    stretches: tuple[Stretch, ...]
    archived: bool


class Progress(NamedTuple):
    """Who is told how far the replay is: `total` records once, then each number that is done."""

    total: Callable[[int], None] = lambda _: None
    done: Callable[[int], None] = lambda _: None


def replay(
    *,
    begin_from: Archive | None = None,
    archive_to: Path | None = None,
    skip_replay: bool = False,
    progress: Progress = Progress(),  # noqa: B008 - immutable
) -> Replayed:
    """Replay the log and compare; write the checkpoint to `archive_to` if nothing differs.

    `skip_replay`: only write it.

    Raises:
        CannotReplayError: the log or the archive is not that of what is settled.
        LogError, DatabaseError: a store is away.
    """
    with snapshot():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        return replay_in_snapshot(
            begin_from=begin_from,
            archive_to=archive_to,
            skip_replay=skip_replay,
            progress=progress,
        )


def replay_in_snapshot(
    *,
    begin_from: Archive | None = None,
    archive_to: Path | None = None,
    skip_replay: bool = False,
    progress: Progress = Progress(),  # noqa: B008 - immutable
) -> Replayed:
    """Do what `replay` does, in the transaction of the caller."""
    tallies = Tallies()
    with ExitStack() as stack:
        log = present_log()
        checkpoints = list(Checkpoint.objects.order_by("partition"))
        writer = None
        if archive_to is not None:
            writer = stack.enter_context(
                ArchiveWriter(
                    archive_to,
                    epoch=max(row.epoch_id for row in checkpoints),
                    order_topic_id=log.order_topic_id,
                )
            )
        stretches: list[Stretch] = []
        if skip_replay:
            settled = (_settled_state(row, tallies) for row in checkpoints)
        else:
            session = stack.enter_context(_Session(log, begin_from, tallies, progress))
            session.require_complete(checkpoints)
            settled = (session.replay(row, stretches) for row in checkpoints)
        for state in settled:
            if writer is not None:
                writer.add(state)
        archived = writer is not None and not tallies.found
        if writer is not None and archived:
            writer.commit()
    return Replayed(tuple(t.outcome() for t in tallies.all()), tuple(stretches), archived)


class _Session(ExitStack):
    """One replay: the log opened for reading, and what is known before the first record."""

    def __init__(
        self, log: LogBeginning, begin_from: Archive | None, tallies: Tallies, progress: Progress
    ) -> None:
        super().__init__()
        self._log = log
        self._archive = begin_from
        self._tallies = tallies
        self._progress = progress
        self._left_out = events_left_out(log.first_epoch)
        if begin_from is not None:
            begin_from.require_log(log)
        self._scan = self.enter_context(TopicScan(ORDER_EVENTS))

    def require_complete(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Make sure that the log is the one that was settled, and holds all that is to be read.

        Raises:
            CannotReplayError: it is not, or does not.
        """
        with Log() as log:
            identity, ends = log.identity(), log.end_offsets(ORDER_EVENTS)
        if identity.order_topic_id != self._log.order_topic_id:
            raise CannotReplayError(
                "order-events is not the log that Postgres has settled: it was made anew, and no"
                " worker has begun its epoch yet."
            )
        begins, total = self._scan.begin_offsets(), 0
        for row in checkpoints:
            first = self._position(row.partition) + 1
            if row.offset >= first and begins.get(row.partition, 0) > first:
                raise CannotReplayError(
                    f"The log has lost its beginning: partition {row.partition} begins at"
                    f" {begins[row.partition]}, and is needed from {first}. Begin from an archived"
                    " checkpoint (--from)."
                )
            if row.offset >= ends.get(row.partition, 0):
                raise CannotReplayError(
                    f"The log has lost its end: partition {row.partition} ends at"
                    f" {ends.get(row.partition, 0)}, and is settled up to {row.offset}."
                )
            total += max(0, row.offset - first + 1)
        self._progress.total(total)

    def replay(self, checkpoint: Checkpoint, stretches: list[Stretch]) -> Recovered:
        """Replay a partition up to `checkpoint` and compare; return what is settled of it."""
        number = checkpoint.partition
        state = self._state(number)
        first = state.engine.position + 1
        matcher = PartitionMatcher(state)
        after = (self._log.first_epoch, state.engine.position)
        orders = SettledOrders(number, list(state.scales), *after, self._tallies)
        records = left_out = 0
        for piece in self._scan.read(number, first, checkpoint.offset):
            left_out += self._apply(matcher, piece, orders)
            records += len(piece)
            self._progress.done(len(piece))
        orders.end()
        last = {market: matcher.engine.book(market).last_trade_id for market in matcher.markets}
        compare_last_trades(last, self._tallies.trades)
        settled = _settled_state(checkpoint, self._tallies)
        compare_books(matcher.engine, settled.engine, settled.scales, self._tallies.books)
        stretches.append(Stretch(number, first, checkpoint.offset, records, left_out))
        return settled

    def _position(self, partition: int) -> int:
        if self._archive is not None:
            return self._archive.state(partition, self._log).engine.position
        return self._log.offsets.get(partition, -1)

    def _state(self, partition: int) -> Recovered:
        if self._archive is not None:
            return self._archive.state(partition, self._log)
        return state_at_beginning(partition, self._log, self._tallies.beginning)

    def _apply(
        self, matcher: PartitionMatcher, piece: Sequence[LogRecord], orders: SettledOrders
    ) -> int:
        """Apply a piece of the log and compare what it gives; return how much was left out."""
        items = [decode(record) for record in piece]
        facts = facts_of(items)
        executions: list[Execution] = []
        left_out = 0
        for item in items:
            self._tallies.records.looked_at += 1
            if self._is_left_out(item, facts):
                matcher.engine.skip(item.record.offset)
                left_out += 1
                continue
            result, problem = self._result(matcher, item, facts)
            if isinstance(result, Execution):
                executions.append(result)
                if result.event == "new":
                    orders.meet(result, problem)
        compare_trades(executions, self._tallies.trades)
        # What has been read is settled: Postgres knows its orders' places.
        matcher.engine.forget_seen(matcher.position)
        return left_out

    def _result(
        self, matcher: PartitionMatcher, item: DecodedRecord, facts: Facts
    ) -> tuple[object, str]:
        """Return what a record comes to; one that the engine refuses to take is a difference."""
        try:
            return matcher.apply(item, facts)
        except AssertionError as error:
            record = item.record
            self._tallies.records.add(record.partition, record.offset, item.order_id, str(error))
            matcher.engine.skip(record.offset)
            return None, ""

    def _is_left_out(self, item: DecodedRecord, facts: Facts) -> bool:
        known = facts.orders.get(item.order_id) if item.order_id is not None else None
        market = known.market if known else item.event.market if item.event else ""
        left_out: Sequence[LeftOut] = self._left_out.get(market, ())
        return any(stretch.covers(item.record.offset) for stretch in left_out)


def _settled_state(checkpoint: Checkpoint, tallies: Tallies) -> Recovered:
    """Return the engine of a partition as a worker would recover it, and name what does not fit."""

    def note(row: LiveOrder | WaitingStop, problem: str) -> None:
        tallies.books.add(row[2], row[0], problem, None, None)

    engine = Engine(checkpoint.offset)
    scales: dict[str, Scale] = {}
    for market in markets_on(checkpoint.partition):
        problem = open_market(
            engine, scales, market, last_trade=last_trade(market), state=settled_state(market)
        )
        if problem:
            tallies.books.add(market.symbol, None, problem, None, None)
    markets = list(scales)
    rows: Iterable[LiveOrder | WaitingStop] = chain(live_orders(markets), waiting_stops(markets))
    restore_orders(engine, scales, rows, note)
    return Recovered(checkpoint.partition, engine, scales, checkpoint.epoch_id)

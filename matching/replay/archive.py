"""A checkpoint in a file: the books, the last trade numbers, and the place on the log.

Gzipped JSON lines: a header, then for each partition a line with its offset, markets and state hash
followed by a line for each live order, by priority (of one that hides a part of itself also how
much it shows at a time), and for each untriggered one, by age; at the end a line with their number.
Amounts are decimal strings. The file appears under its name only when it is complete, and what does
not add up when it is read is refused. The replay may begin from it instead of the beginning of the
log.
"""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from exchange.money import format_amount, to_units
from matching.engine import BUY, SELL, Engine, MarketState, PlaceStop
from matching.recovery import Recovered, Scale, markets_on, open_market, price_of_trade
from matching.replay.beginning import CannotReplayError, LogBeginning
from orders.models import STATES, Market

KIND = "exchange-checkpoint"
VERSION = 1


class ArchiveError(CannotReplayError):
    """The file is not an archive, not whole, or not of this log."""


@dataclass(frozen=True)
class Archive:
    """A checkpoint as it was written."""

    epoch: int
    order_topic_id: str
    partitions: dict[int, Recovered]

    def require_log(self, log: LogBeginning) -> None:
        """Make sure that the archive's offsets mean something in `log`.

        Raises:
            ArchiveError: the log has been made anew or cut since.
        """
        if self.order_topic_id != log.order_topic_id or self.epoch < log.first_epoch:
            raise ArchiveError(
                f"The archive is of epoch {self.epoch}, and of another log: the present one began"
                f" with epoch {log.first_epoch}. Replay from its beginning, without --from."
            )

    def state(self, partition: int, log: LogBeginning) -> Recovered:
        """Return the engine of `partition`, with the markets that have been made since.

        Raises:
            ArchiveError: the partition is not in the archive.
        """
        found = self.partitions.get(partition)
        if found is None:
            raise ArchiveError(f"Partition {partition} is not in the archive.")
        for market in markets_on(partition):
            if market.symbol not in found.scales:
                open_market(found.engine, found.scales, market)
            _know_last_price(found, market)
        # Its own epoch may be a later one of the same log; what counts is the log.
        return Recovered(partition, found.engine, found.scales, log.first_epoch)


class ArchiveWriter:
    """Writes an archive. Use as a context manager; without `commit` nothing is left behind."""

    def __init__(self, path: Path, *, epoch: int, order_topic_id: str) -> None:
        self._path = path
        self._staging = path.with_name(f".{path.name}.{os.getpid()}")
        self._header = {
            "kind": KIND, "version": VERSION, "epoch": epoch, "order_topic_id": order_topic_id
        }  # fmt: skip
        self._orders = 0
        self._file: IO[str]

    def __enter__(self) -> Self:
        self._file = gzip.open(self._staging, "wt", encoding="utf-8")
        self._write(self._header)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._staging.unlink(missing_ok=True)

    def add(self, state: Recovered) -> None:
        """Write a partition: its engine stands at the checkpoint."""
        engine = state.engine
        self._write(
            {
                "partition": state.partition,
                "offset": engine.position,
                "state_hash": engine.state_hash(),
                "markets": [
                    [
                        symbol, engine.book(symbol).last_trade_id,
                        format_amount(scale.tick), format_amount(scale.lot),
                        engine.state_of(symbol), engine.change_of(symbol),
                        format_amount(engine.book(symbol).last_price * scale.tick),
                    ]
                    for symbol, scale in sorted(state.scales.items())
                ],
            }
        )  # fmt: skip
        for symbol, scale in sorted(state.scales.items()):
            for order in engine.book(symbol).orders():
                self._orders += 1
                line = [
                    symbol, order.order_id, order.user_id,
                    "buy" if order.side == BUY else "sell",
                    format_amount(order.price * scale.tick),
                    format_amount(order.remaining * scale.lot),
                ]  # fmt: skip
                if order.part:
                    line.append(format_amount(order.part * scale.lot))
                self._write(line)
            for stop, elected in engine.stops(symbol).by_age():
                self._orders += 1
                self._write(
                    [
                        symbol, stop.order_id, stop.user_id, "buy" if stop.side == BUY else "sell",
                        format_amount(stop.price * scale.tick),
                        format_amount(stop.quantity * scale.lot),
                        format_amount(stop.stop_price * scale.tick),
                        stop.time_in_force, stop.post_only, stop.prevention, elected,
                    ]
                )  # fmt: skip

    def commit(self) -> None:
        """Give the file its name: it is complete."""
        self._write({"orders": self._orders})
        self._file.close()
        with self._staging.open("rb") as written:
            os.fsync(written.fileno())
        self._staging.rename(self._path)

    def _write(self, line: Any) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read_archive(path: Path) -> Archive:
    """Read an archive, and make sure that it is whole.

    Raises:
        ArchiveError: it is not, or cannot be read.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return _read(json.loads(line) for line in file)
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise ArchiveError(f"{path} is not a whole archive: {error!r}") from error
    except AssertionError as error:
        raise ArchiveError(f"{path} is not a whole archive: {error}") from error


def _read(lines: Iterator[Any]) -> Archive:
    header = next(lines)
    if header["kind"] != KIND or header["version"] != VERSION:
        raise ArchiveError(f"This is not an archive of version {VERSION}.")
    partitions: dict[int, Recovered] = {}
    hashes: dict[int, str] = {}
    current: Recovered | None = None
    orders = 0
    for line in lines:
        if isinstance(line, list):
            assert current is not None, "an order before its partition"
            _restore(current, line)
            orders += 1
        elif "partition" in line:
            current = _partition(line, header["epoch"])
            partitions[current.partition] = current
            hashes[current.partition] = line["state_hash"]
        else:
            assert line["orders"] == orders, "orders are missing"
            assert not list(lines), "lines after the end"
            for number, state in partitions.items():
                assert state.engine.state_hash() == hashes[number], f"partition {number} differs"
            return Archive(header["epoch"], header["order_topic_id"], partitions)
    raise ArchiveError("The archive has no end.")


def _partition(line: dict[str, Any], epoch: int) -> Recovered:
    engine, scales = Engine(line["offset"]), {}
    for symbol, last_trade_id, tick, lot, *more in line["markets"]:
        # An archive of before says nothing of states, or nothing of prices.
        name, change_id, price = more + ["open", 0, "0"][len(more) :]
        assert name in STATES, "no state of a market"
        scales[symbol] = scale = Scale(Decimal(tick), Decimal(lot))
        engine.add_market(
            symbol, last_trade_id, last_price=to_units(Decimal(price), scale.tick),
            state=cast(MarketState, name), change_id=change_id,
        )  # fmt: skip
    return Recovered(line["partition"], engine, scales, epoch)


def _restore(state: Recovered, line: list[Any]) -> None:
    market, order_id, user_id, side, price, quantity, *more = line
    scale = state.scales[market]
    order = (
        BUY if side == "buy" else SELL,
        to_units(Decimal(price), scale.tick),
        to_units(Decimal(quantity), scale.lot),
    )
    if len(more) < 2:
        part = (to_units(Decimal(visible), scale.lot) for visible in more)
        state.engine.restore(market, order_id, user_id, *order, *part)
        return
    stop_price, time_in_force, post_only, prevention, elected = more
    command = PlaceStop(
        order_id, user_id, market, *order, to_units(Decimal(stop_price), scale.tick),
        time_in_force, post_only, prevention,
    )  # fmt: skip
    state.engine.restore_stop(command, elected=elected)


def _know_last_price(found: Recovered, market: Market) -> None:
    """Ask Postgres for the price of a last trade if the archive is of before that was in it."""
    book = found.engine.book(market.symbol)
    if book.last_trade_id and not book.last_price:
        price = price_of_trade(market, book.last_trade_id)
        if price is not None:
            book.last_price = to_units(price, found.scales[market.symbol].tick)

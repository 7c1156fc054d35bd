"""What a replay finds: for each kind of difference how many there are, and the first of them."""

from dataclasses import dataclass, field
from typing import Any

from balances.audit.check import FIRST_ROWS, Outcome

Row = tuple[Any, ...]


@dataclass
class Tally:
    """One kind of thing that is compared. `says`: what should be, as a sentence."""

    name: str
    says: str
    columns: tuple[str, ...]
    looked_at: int = 0
    found: int = 0
    first: list[Row] = field(default_factory=list)

    def add(self, *row: Any) -> None:
        """Note a difference."""
        assert len(row) == len(self.columns), (self.columns, row)
        self.found += 1
        if len(self.first) < FIRST_ROWS:
            self.first.append(row)

    def outcome(self) -> Outcome:
        return Outcome(
            name=self.name,
            finds="difference",
            looked_at=self.looked_at,
            seconds=None,
            found=self.found,
            columns=self.columns,
            first=tuple(self.first),
        )


class Tallies:
    """Everything that a replay compares."""

    def __init__(self) -> None:
        self.beginning = Tally(
            "beginning",
            "The orders that were live when the log began fit into a book.",
            ("partition", "order_id", "market", "problem"),
        )
        self.records = Tally(
            "records",
            "A record on the log says what the stored order says; a record that cannot be used"
            " has rejected its order.",
            ("partition", "offset", "order_id", "problem"),
        )
        self.orders = Tally(
            "orders",
            "The orders with a place on the log are those that the log has at this place.",
            ("partition", "offset", "order_on_log", "settled_order", "settled_status", "problem"),
        )
        self.trades = Tally(
            "trades",
            "The settled trades are those that the engine makes of the log.",
            ("market", "trade_id", "what", "by_log", "settled"),
        )
        self.books = Tally(
            "books",
            "The books after the last settled event are those of the live orders in Postgres.",
            ("market", "order_id", "what", "by_log", "settled"),
        )

    def all(self) -> tuple[Tally, ...]:
        return (self.beginning, self.records, self.orders, self.trades, self.books)

    @property
    def found(self) -> int:
        """Return the number of differences of all kinds."""
        return sum(tally.found for tally in self.all())

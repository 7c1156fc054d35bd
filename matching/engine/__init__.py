"""The matching engine: pure, single-threaded, standard library only.

How it works:

- An `Engine` holds one `OrderBook` per market, for all markets of one partition of the log.
  `engine.apply(offset, command)` takes a `PlaceOrder` or a `CancelOrder` with its offset and
  returns an `Execution`, or `None` when the event changes nothing.
- Amounts are integers: prices in ticks, quantities in lots. Scaling is the caller's work.
- A book has two `BookSide`s. A side maps a price to a `Level`, a first-in-first-out queue of
  orders; a heap of prices gives the best one. An index from order id to its entry makes a cancel
  O(1): the entry is zeroed where it stands and swept out later, before such entries outnumber
  the live ones (`levels.py`).
- An order trades with the best price first, at one price with the oldest order, always at the
  maker's price. What is left of it rests, or is canceled after `MAX_FILLS` trades at once.
- A market may be in a state in which it takes no orders, or only those that do not trade when they
  come (`change_market`): an order that it does not take is canceled. Cancels are always taken.
- A `PlaceWithRules` may say that it does not rest, that it does nothing but rest, and what happens
  when it meets an order of its own user. Plain orders do not pay for that.
- A `PlaceWithRules` may be an iceberg: it shows a part of itself, and the next one comes to the
  back of the queue. What is hidden is beside the entries, so plain orders do not pay for that
  either. The result names the orders that stand elsewhere in their queues now (`requeued`).
- A `PlaceStop` waits beside the book (`stops.py`). The event whose trades reach its stop price
  *elects* it: its number is in that event's result. It comes to the book with its own event, a
  `TriggerOrder`: so an event does a bounded piece of work, and has one result.
- `engine.amend(offset, command)` gives a live order another price or quantity. Reduced at its price
  it keeps its place; else it comes again, as a new order does. Each amendment counts once.
- `position` moves with every event. Results are chained: each names the offset of the one before.
- Recovery: `Engine(checkpoint)`, `add_market` for each market, `restore` for each live order in
  time order, `restore_stop` for each stop order by age, then `apply` every event after the
  checkpoint. Results come out as the first time.
- `state_hash()` is equal for equal books; `validate()` checks the structure from inside.

The engine never reads a clock, rolls dice, does I/O, imports Django or touches a float. Its
assertions stay on in production: better no result than a wrong one.
"""

from matching.engine.book import (
    FILL_LIMIT,
    FOK_NOT_FILLABLE,
    IOC_REMAINDER,
    MAX_FILLS,
    POST_ONLY_WOULD_TRADE,
    SELF_TRADE,
    OrderBook,
)
from matching.engine.engine import ALREADY_FILLED, NOT_IN_BOOK, Engine
from matching.engine.errors import CrossedBook, DuplicateOrder, PriceHasCome, UnknownMarket
from matching.engine.messages import (
    BUY,
    NO_OFFSET,
    SELL,
    Amended,
    AmendOrder,
    CancelOrder,
    Command,
    Execution,
    Fill,
    MarketState,
    NotAmended,
    PlaceOrder,
    PlaceStop,
    PlaceWithRules,
    Prevention,
    RestingOrder,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
    TriggerOrder,
)
from matching.engine.stops import MAX_STOPS, TOO_MANY_STOPS, StopBook

__all__ = [
    "ALREADY_FILLED",
    "BUY",
    "FILL_LIMIT",
    "FOK_NOT_FILLABLE",
    "IOC_REMAINDER",
    "MAX_FILLS",
    "MAX_STOPS",
    "NOT_IN_BOOK",
    "NO_OFFSET",
    "POST_ONLY_WOULD_TRADE",
    "SELF_TRADE",
    "SELL",
    "TOO_MANY_STOPS",
    "AmendOrder",
    "Amended",
    "CancelOrder",
    "Command",
    "CrossedBook",
    "DuplicateOrder",
    "Engine",
    "Execution",
    "Fill",
    "MarketState",
    "NotAmended",
    "OrderBook",
    "PlaceOrder",
    "PlaceStop",
    "PlaceWithRules",
    "Prevention",
    "PriceHasCome",
    "RestingOrder",
    "SelfTrade",
    "Side",
    "Status",
    "StopBook",
    "TimeInForce",
    "TriggerOrder",
    "UnknownMarket",
]

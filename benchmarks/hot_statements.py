"""The statements whose plans `benchmarks.plans` shows: what they are for, and who sends them."""

from typing import NamedTuple

BATCH = 200
"""Orders in a batch: as many as the API takes."""
BATCHES = 5
"""So many batches wait on the log when the settlement begins."""


class Hot(NamedTuple):
    """A statement of the document: what it is for, and the function that sends it.

    `step`: the work in which it is looked for, as `benchmarks.plans` does it; the first one counts
    that has `marker` in it.
    """

    title: str
    purpose: str
    step: str
    path: str
    function: str
    marker: str = ""


HOT = (
    Hot("The market's rules", "Asked for with each order.", "single", "orders/selectors.py",
        "rules_of"),
    Hot("Insert one order", "`POST /orders`: the order, with the fee rates of its user's tier.",
        "single", "orders/storing.py", "insert_one"),
    Hot("Hold for one order", "`POST /orders`: the balance and its ledger entry in one statement.",
        "single", "balances/ledger.py", "_change_and_note"),
    Hot("Insert a batch", f"`POST /orders/batch`: {BATCH} orders of as many users.", "batch",
        "orders/storing.py", "insert", "INSERT"),
    Hot("Lock the balances of a batch", "In one order, so that nobody waits in a circle.", "batch",
        "balances/locks.py", "lock_available"),
    Hot("Count the backlog", "Once a second in each process of the order service, here with "
        f"{BATCH * BATCHES:,} pending.", "backlog", "orders/backlog.py", "count_pending"),
    Hot("What is missing on the log", "The relay, every second, for each partition: pending orders "
        "and cancels that were due before a moment. Here all are younger.", "relay",
        "orders/relay.py", "_relay_partition"),
    Hot("The facts of a batch", "Matching asks for the orders as they are stored.", "settle",
        "orders/selectors.py", "facts_of_orders"),
    Hot("The live orders of a partition", "A matching worker that starts, in the order of their "
        "priority. Read with a cursor, a piece at a time; here as a whole.", "settle",
        "matching/recovery.py", "live_orders", "prevented_quantity"),
    Hot("The stop orders of a partition", "As above, the oldest first.", "settle",
        "matching/recovery.py", "_restore_books", "stop_price"),
    Hot("The last trade of a market", "As above, for each market.", "settle",
        "matching/recovery.py", "last_trade"),
    Hot("Lock the checkpoints", "First in each settlement.", "settle", "balances/locks.py",
        "lock_checkpoints"),
    Hot("Move the orders on", "The settlement: each order has to be in the state that its results "
        "imply.", "settle", "balances/settle.py", "_update_orders"),
    Hot("Make balances that are missing", "The settlement; hardly ever there is one.", "settle",
        "balances/locks.py", "lock_balances", "INSERT"),
    Hot("Lock the balances", "The settlement, in the order in which everybody does.", "settle",
        "balances/locks.py", "lock_balances", "FOR UPDATE"),
    Hot("Change the balances", "The settlement.", "settle", "balances/locks.py", "_add"),
    Hot("Write the ledger", "The settlement: an entry for each movement.", "settle",
        "balances/ledger.py", "_write_entries"),
    Hot("Insert the trades", "The settlement.", "settle", "balances/settle.py", "_insert_trades"),
    Hot("Move the checkpoints", "Last in each settlement.", "settle", "balances/settle.py",
        "_move_checkpoints"),
    Hot("Ask for one cancel", "`DELETE /orders/{order_id}`.", "cancel", "orders/services.py",
        "request_cancel", "UPDATE"),
    Hot("Ask for a batch of cancels", f"`POST /orders/batch/cancel`: {BATCH} orders.", "cancels",
        "orders/canceling.py", "_mark"),
    Hot("Ask for the cancel of all", "`DELETE /orders`: the unfinished orders of a user with a "
        "long past.", "cancel all", "orders/canceling.py", "_mark"),
    Hot("Balances on a miss", "`GET /balance/{user_id}` when the cache cannot answer.", "balance",
        "balances/selectors.py", "_stored_balances"),
    Hot("A page of orders", "`GET /orders`: the newest of a user.", "orders", "orders/api.py",
        "get", "LIMIT"),
    Hot("A later page of orders", "The same, from `next` of the first.", "orders later",
        "orders/api.py", "get", "LIMIT"),
    Hot("A page of the ledger", "`GET /balance/{user_id}/ledger`.", "ledger",
        "balances/history.py", "__getitem__"),
)  # fmt: skip

"""Triggers of elected stop orders: onto the log, once their election has been settled.

The order's row is the outbox, as with cancels: a process that dies before it has published leaves
`elected_at` there, and the relay publishes the trigger. A trigger that comes twice changes nothing.
"""

from collections.abc import Iterable

from exchange.records import Execution
from orders import outbox
from orders.models import Order


def publish_triggers(executions: Iterable[Execution]) -> None:
    """Publish the triggers of those that `executions`, just settled, have elected, in their turn.

    Does not wait for the log, and does not mind if it is away: the relay is the net, also when this
    fails because the database is away.
    """
    numbers = [number for execution in executions for number in execution.elected]
    if not numbers:
        return
    found = Order.objects.filter(pk__in=numbers, status=Order.Status.UNTRIGGERED).in_bulk()
    waiting = [found[number] for number in numbers if number in found]
    # Whose cancel was asked for is not let come: the record of that may have been lost.
    outbox.publish_cancels_soon([o for o in waiting if o.cancel_requested_at is not None])
    outbox.publish_triggers_soon([o for o in waiting if o.cancel_requested_at is None])

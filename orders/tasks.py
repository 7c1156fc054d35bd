"""Periodic work of the orders app. Every task may be lost or run twice without harm."""

from celery import shared_task

from orders import relay


@shared_task(name="orders.relay")
def relay_orders() -> int:
    """Publish again the orders that are missing on the log."""
    return relay.relay()

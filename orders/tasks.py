"""Periodic work of the orders app. Every task may be lost or run twice without harm."""

from celery import shared_task

from orders import dead_man, expiry, relay


@shared_task(name="orders.relay")
def relay_orders() -> int:
    """Publish again the orders that are missing on the log."""
    return relay.relay()


@shared_task(name="orders.dead_man_switches")
def look_at_switches() -> int:
    """Cancel all orders of the users whose dead-man switch has expired."""
    return dead_man.run()


@shared_task(name="orders.expire")
def expire_orders() -> int:
    """Ask for the cancel of the orders whose time is over."""
    return expiry.run()

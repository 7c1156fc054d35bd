"""Counting the orders that reach the service, by what became of them."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from exchange.api.errors import ClientError
from exchange.metrics import ORDERS


class _Placed(Protocol):
    @property
    def created(self) -> bool: ...


P = ParamSpec("P")
PlacedT = TypeVar("PlacedT", bound=_Placed)


def counts_orders(place: Callable[P, PlacedT]) -> Callable[P, PlacedT]:
    """Count each call of `place` as accepted, known, failed, or by the code of its refusal."""

    @wraps(place)
    def counted(*args: P.args, **kwargs: P.kwargs) -> PlacedT:
        result = "failed"
        try:
            placed = place(*args, **kwargs)
            result = "accepted" if placed.created else "known"
        except ClientError as error:
            result = error.code
            raise
        finally:
            ORDERS.labels(result).inc()
        return placed

    return counted

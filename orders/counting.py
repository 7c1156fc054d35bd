"""Counting the orders that reach the service, by what became of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from exchange.api.errors import ClientError
from exchange.metrics import ORDERS


class _Placed(Protocol):
    @property
    def created(self) -> bool: ...


P = ParamSpec("P")
PlacedT = TypeVar("PlacedT", bound=_Placed)
OutcomeT = TypeVar("OutcomeT")


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


def counts_batches(place: Callable[P, list[OutcomeT]]) -> Callable[P, list[OutcomeT]]:
    """Count each of the `wishes` of a batch as `counts_orders` counts a single order."""

    @wraps(place)
    def counted(*args: P.args, **kwargs: P.kwargs) -> list[OutcomeT]:
        orders = len(cast(Sequence[object], kwargs["wishes"]))
        results = Counter(failed=orders)
        try:
            outcomes = place(*args, **kwargs)
            results = Counter(_result(outcome) for outcome in outcomes)
        except ClientError as error:
            results = Counter({error.code: orders})
            raise
        finally:
            for result, count in results.items():
                ORDERS.labels(result).inc(count)
        return outcomes

    return counted


def _result(outcome: Any) -> str:
    if isinstance(outcome, ClientError):
        return outcome.code
    return "accepted" if outcome.created else "known"

"""The balance service: exact decimals, from the cache when it can vouch for them, never stale."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from balances import cache, services
from tests.api import ApiClient
from tests.support import World, trust_cache


@pytest.fixture
def warm(exchange_world: World, api: ApiClient) -> World:
    """The cache is believed, and holds the balances of users 1 and 2."""
    trust_cache()
    for user in (1, 2):
        api.get(f"/balance/{user}")
        assert api.get(f"/balance/{user}")["X-Balance-Source"] == "cache"
    return exchange_world


def available(api: ApiClient, user_id: int) -> dict[str, tuple[str, str]]:
    """What a client reads: (available, held) by asset."""
    balances = api.get(f"/balance/{user_id}").json()["balances"]
    return {asset: (of["available"], of["held"]) for asset, of in balances.items()}


def test_balances_have_exactly_this_shape(exchange_world: World, api: ApiClient) -> None:
    exchange_world.place(1, "buy", 10, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    response = api.get("/balance/1")
    assert response.status_code == 200
    assert response.json() == {
        "user_id": 1,
        "balances": {
            "ADA": {"available": "1", "held": "0", "total": "1"},
            "USDT": {"available": "981", "held": "17.1", "total": "998.1"},
        },
    }


def test_the_second_read_comes_from_the_cache_and_asks_postgres_nothing(
    exchange_world: World, api: ApiClient, django_assert_num_queries: Callable[[int], Any]
) -> None:
    trust_cache()
    first = api.get("/balance/1")
    with django_assert_num_queries(0):
        second = api.get("/balance/1")
    assert first["X-Balance-Source"] == "database"
    assert second["X-Balance-Source"] == "cache"
    assert second.json() == first.json()


def test_both_sources_give_the_same_answer_to_the_last_digit(warm: World, api: ApiClient) -> None:
    services.deposit(user_id=1, asset="ETH", amount=Decimal("0.000000000000000001"))
    services.deposit(user_id=1, asset="ETH", amount=Decimal("99999999999999999998"))
    cached = api.get("/balance/1")
    cache.forget_everything()
    stored = api.get("/balance/1")
    assert (cached["X-Balance-Source"], stored["X-Balance-Source"]) == ("cache", "database")
    assert cached.json() == stored.json()
    assert cached.json()["balances"]["ETH"]["total"] == "99999999999999999998.000000000000000001"


def test_a_user_without_balances_has_none(
    exchange_world: World, api: ApiClient, django_user_model: Any
) -> None:
    user = django_user_model.objects.create_user("new")
    assert api.get(f"/balance/{user.pk}").json() == {"user_id": user.pk, "balances": {}}


def test_a_user_made_after_they_were_asked_for_is_found(
    exchange_world: World, api: ApiClient, django_user_model: Any
) -> None:
    trust_cache()
    assert api.get("/balance/900").status_code == 404
    django_user_model.objects.create_user("late", id=900)
    assert api.get("/balance/900").status_code == 200
    services.deposit(user_id=900, asset="USDT", amount=Decimal(5))
    assert available(api, 900) == {"USDT": ("5", "0")}


def test_a_deposit_is_seen_at_once(warm: World, api: ApiClient) -> None:
    services.deposit(user_id=1, asset="USDT", amount=Decimal("0.000001"))
    assert available(api, 1) == {"USDT": ("1000.000001", "0")}


def test_a_deposit_of_a_new_asset_is_seen_at_once(warm: World, api: ApiClient) -> None:
    services.deposit(user_id=1, asset="BTC", amount=Decimal("0.5"))
    assert available(api, 1) == {"BTC": ("0.5", "0"), "USDT": ("1000", "0")}


def test_a_withdrawal_is_seen_at_once(warm: World, api: ApiClient) -> None:
    services.withdraw(user_id=1, asset="USDT", amount=Decimal(1000))
    assert available(api, 1) == {"USDT": ("0", "0")}


def test_a_refused_withdrawal_changes_nothing(warm: World, api: ApiClient) -> None:
    with pytest.raises(services.InsufficientBalanceError):
        services.withdraw(user_id=1, asset="USDT", amount=Decimal(1001))
    assert available(api, 1) == {"USDT": ("1000", "0")}


def test_an_order_is_seen_at_once(warm: World, api: ApiClient) -> None:
    api.order()
    assert available(api, 1) == {"USDT": ("981", "19")}


def test_a_settlement_is_seen_at_once_by_both_sides(warm: World, api: ApiClient) -> None:
    warm.place(1, "buy", 10, "1.9")
    warm.place(2, "sell", 4, "1.5")
    warm.pump()
    assert available(api, 1) == {"ADA": ("4", "0"), "USDT": ("981", "11.4")}
    assert available(api, 2) == {"ADA": ("496", "0"), "USDT": ("7.6", "0")}
    assert api.get("/balance/1")["X-Balance-Source"] == "cache"


def test_a_cancel_is_seen_as_soon_as_it_is_settled(warm: World, api: ApiClient) -> None:
    order = warm.place(1, "buy", 10, "1.9")
    warm.pump()
    warm.cancel(order)
    assert available(api, 1) == {"USDT": ("981", "19")}
    warm.pump()
    assert available(api, 1) == {"USDT": ("1000", "0")}

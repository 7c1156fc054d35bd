"""What a fresh exchange starts with: assets, markets, two traders with money, an operator."""

import secrets
from collections.abc import Iterator
from decimal import Decimal

from django.contrib.auth.hashers import make_password
from django.db import connection

from balances import services as balances
from balances.changes import change_balances
from balances.ledger import ZERO, Movement, apply_movements
from balances.models import SEED_NOTE, Balance
from exchange.models import User
from orders.models import Asset, Market

ASSETS = {
    "USDT": ("Tether", 6),
    "BTC": ("Bitcoin", 8),
    "ETH": ("Ether", 18),
    "ADA": ("Cardano", 6),
    "SOL": ("Solana", 9),
}
MARKETS = {
    # symbol: (tick size, lot size)
    "ADA-USDT": ("0.0001", "0.01"),
    "BTC-USDT": ("0.01", "0.0001"),
    "ETH-USDT": ("0.01", "0.0001"),
    "SOL-USDT": ("0.001", "0.001"),
    "ADA-BTC": ("0.00000001", "1"),
}
FUNDS = {1: ("USDT", Decimal(1000)), 2: ("ADA", Decimal(500))}
"""The walk-throughs start from these."""
BULK_FUNDS = Decimal(1_000_000)
BATCH = 500


def seed_markets() -> None:
    """Make the assets and markets that do not exist yet."""
    for symbol, (name, decimals) in ASSETS.items():
        Asset.objects.get_or_create(symbol=symbol, defaults={"name": name, "decimals": decimals})
    for symbol, (tick, lot) in MARKETS.items():
        _make_market(symbol, Decimal(tick), Decimal(lot))


def seed_traders() -> None:
    """Make users 1 and 2 with their first deposits, unless they exist."""
    for user_id, (asset, amount) in FUNDS.items():
        _, created = User.objects.get_or_create(
            pk=user_id, defaults={"username": f"user{user_id}", "password": make_password(None)}
        )
        if created:
            balances.deposit(user_id=user_id, asset=asset, amount=amount, note=SEED_NOTE)
    _let_sequence_follow()


def seed_operator() -> str | None:
    """Make the admin login `admin` and return its password, once; None if it exists."""
    if User.objects.filter(username="admin").exists():
        return None
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=password)
    return password


def seed_bulk_markets(count: int) -> None:
    """Make sure there are markets C000-USDT, C001-USDT, … up to `count` in all with these names."""
    for number in range(count):
        base = f"C{number:03d}"
        Asset.objects.get_or_create(symbol=base, defaults={"name": f"Coin {number}", "decimals": 8})
        _make_market(f"{base}-USDT", Decimal("0.01"), Decimal("0.0001"))


def seed_bulk_users(count: int) -> Iterator[int]:
    """Make users trader0, trader1, … with plenty of every asset; yields how many are done."""
    assets = list(Asset.objects.values_list("symbol", flat=True))
    unusable = make_password(None)
    for start in range(0, count, BATCH):
        names = [f"trader{number}" for number in range(start, min(start + BATCH, count))]
        User.objects.bulk_create(
            [User(username=name, password=unusable) for name in names], ignore_conflicts=True
        )
        users = User.objects.filter(username__in=names).values_list("pk", flat=True)
        funded = set(Balance.objects.filter(user_id__in=users).values_list("user_id", "asset_id"))
        movements = [
            Movement(user, asset, "deposit", BULK_FUNDS, ZERO, note=SEED_NOTE)
            for user in users
            for asset in assets
            if (user, asset) not in funded
        ]
        if movements:
            change_balances(lambda due=movements: (None, apply_movements(due)))  # type: ignore[misc]
        yield start + len(names)


def _make_market(symbol: str, tick: Decimal, lot: Decimal) -> None:
    if Market.objects.filter(pk=symbol).exists():
        return
    base, _, quote = symbol.partition("-")
    market = Market(symbol=symbol, base_id=base, quote_id=quote, tick_size=tick, lot_size=lot)
    market.full_clean()
    market.save(force_insert=True)


def _let_sequence_follow() -> None:
    """Users 1 and 2 were made with their ids given: the next one must not collide."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('exchange_user', 'id'), max(id))"
            " FROM exchange_user"
        )

"""An operator's browser, and that of a clerk who may do little."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from balances.models import CacheTrust, LogEpoch, MarketHalt, PastHalt
from balances.transfers import request_transfer
from exchange.access.keys import create_api_key
from exchange.models import User
from orders.models import Market
from tests.support import World


@pytest.fixture
def operator(exchange_world: World) -> Client:
    """A superuser's browser, in an exchange where something has happened."""
    user = User.objects.create_superuser("operator")
    exchange_world.place(1, "buy", 10, "1.9")
    exchange_world.place(2, "sell", 4, "1.9", client_order_id="mine-1")
    exchange_world.pump()
    Group.objects.create(name="readers")
    create_api_key(owner_id=1, name="bot", scopes=["read"])
    CacheTrust.objects.get_or_create(pk=1)
    market, epoch = Market.objects.get(pk="BTC-USDT"), LogEpoch.objects.get()
    MarketHalt.objects.create(market=market, epoch=epoch, offset=7, reason="a gap")
    PastHalt.objects.create(
        market=market, epoch=epoch, offset=3, resumed_epoch=epoch, last_offset=5, reason="a slip",
        halted_at=timezone.now(), resumed_by=user, note="mended",
    )  # fmt: skip
    request_transfer(
        user_id=2, kind="deposit", asset="ADA", amount=Decimal(5), external_reference="wire-5",
        actor_id=2,
    )  # fmt: skip
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def clerk(exchange_world: World) -> Client:
    """Somebody on the staff who may look at users, and change them, but not at their money."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    client = Client()
    client.force_login(user)
    return client

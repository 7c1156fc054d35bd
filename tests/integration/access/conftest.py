"""An exchange with its doors locked, and everybody who may knock."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Permission

from exchange.access.keys import NewApiKey, create_api_key, create_service_credential
from exchange.models import User
from orders import outbox
from tests.api import ApiClient, SigningClient, openapi
from tests.support import World


@pytest.fixture
def world(exchange_world: World) -> Iterator[World]:
    openapi()  # made once, before anything is timed or counted
    yield exchange_world
    outbox.flush()


@pytest.fixture
def key(world: World) -> NewApiKey:
    """A key of user 1 that may do all that a key may."""
    return create_api_key(owner_id=1, name="bot", scopes=["read", "trade"])


@pytest.fixture
def signing(key: NewApiKey) -> SigningClient:
    """A program of user 1."""
    return SigningClient(key)


def nobody() -> ApiClient:
    return ApiClient()


def browser_of(user: User) -> ApiClient:
    client = ApiClient()
    client.force_login(user)
    return client


def staff(*permissions: str) -> ApiClient:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return browser_of(user)


def program(*scopes: str) -> ApiClient:
    wanted = [scope for scope in ("read", "trade") if scope in scopes]
    return SigningClient(create_api_key(owner_id=1, name="bot", scopes=wanted))


def service(*scopes: str) -> ApiClient:
    owner = User.objects.create_user("service", is_staff=True)
    wanted = [scope for scope in ("read", "trade") if scope in scopes]
    made = create_service_credential(
        owner_id=owner.pk,
        name="gateway",
        scopes=wanted,
        actor_id=None,
    )
    return SigningClient(made)


WHO: dict[str, Callable[[], ApiClient]] = {
    "nobody": nobody,
    "user 1": lambda: browser_of(User.objects.get(pk=1)),
    "user 2": lambda: browser_of(User.objects.get(pk=2)),
    "superuser": lambda: browser_of(User.objects.create_superuser("boss")),
    "clerk": staff,
    "support": lambda: staff("view_order", "view_balance"),
    "read key": lambda: program("read"),
    "trade key": lambda: program("trade"),
    "both": lambda: program("read", "trade"),
    "service": lambda: service("read", "trade"),
    "monitor": lambda: service("read"),
}
"""The columns of the table in `test_doors`. The keys are of user 1."""

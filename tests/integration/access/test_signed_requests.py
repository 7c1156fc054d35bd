"""Requests signed with an API key: what is accepted, what is refused, and what it costs."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.client import FakePayload
from django.utils import timezone
from pytest_django import Settings

from exchange.access import keys, signatures
from exchange.access.keys import (
    NewApiKey,
    create_api_key,
    create_service_credential,
    revoke_api_key,
)
from exchange.access.sealing import unseal
from exchange.api.parsers import MAX_BODY_BYTES
from exchange.models import ApiKey, User
from orders.models import Order
from tests.api import SHORT, ApiClient, SigningClient, refusal
from tests.support import World, balance_of, trust_cache

pytestmark = pytest.mark.locked


def unauthorized(response: Any) -> str:
    """Return the code of a 401, which says how to authenticate."""
    status, code, field = refusal(response)
    assert (status, field) == (401, None)
    assert response["WWW-Authenticate"] == 'ApiKey realm="exchange"'
    return code


def test_a_signed_order_is_placed_for_the_owner(world: World, signing: SigningClient) -> None:
    response = signing.order(user_id=None, quantity=10, price=1.9)
    assert (response.status_code, response.json()["user_id"]) == (201, 1)
    assert balance_of(1, "USDT") == ("981", "19")


def test_the_query_is_part_of_it(world: World, signing: SigningClient) -> None:
    world.place(1, "buy", 1, "1.8")
    response = signing.get("/orders?market=ADA-USDT&status=pending&limit=2")
    assert [order["user_id"] for order in response.json()["results"]] == [1]


@pytest.mark.parametrize(
    "changed",
    [
        {"REQUEST_METHOD": "POST"},
        {"PATH_INFO": "/balance/2"},
        {"QUERY_STRING": "user_id=2"},
        {"HTTP_X_API_WINDOW": "60000"},
        {"HTTP_X_API_SIGNATURE": "0" * 64},
        {"wsgi.input": FakePayload(b"{}"), "CONTENT_LENGTH": "2"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_was_changed_after_signing_is_refused(
    signing: SigningClient, changed: dict[str, Any]
) -> None:
    assert signing.get("/orders").status_code == 200
    signing.changed = changed
    code = unauthorized(signing.get("/orders"))
    assert code == "bad_signature"


def test_another_timestamp_is_refused(signing: SigningClient) -> None:
    signing.changed = {"HTTP_X_API_TIMESTAMP": str(signatures.now_ms() - 1)}
    signing.ahead_ms = 500
    assert unauthorized(signing.get("/orders")) == "bad_signature"


def test_another_body_is_refused(signing: SigningClient) -> None:
    other = json.dumps(SHORT | {"quantity": 11}).encode()
    assert len(other) == len(json.dumps(SHORT))
    signing.changed = {"wsgi.input": FakePayload(other)}
    assert unauthorized(signing.order()) == "bad_signature"
    assert not Order.objects.exists()


def test_the_secret_of_another_key_is_refused(key: NewApiKey, signing: SigningClient) -> None:
    signing.secret = create_api_key(owner_id=1, name="other", scopes=["read"]).secret
    assert unauthorized(signing.get("/orders")) == "bad_signature"


@pytest.mark.parametrize(
    ("window", "ahead_ms"),
    [(None, 0), (None, -4_000), (None, 500), (60_000, -50_000), (1_000, 0), (1, 500)],
)
def test_inside_the_window_it_is_accepted(
    signing: SigningClient, window: int | None, ahead_ms: int
) -> None:
    signing.window, signing.ahead_ms = window, ahead_ms
    assert signing.get("/orders").status_code == 200


@pytest.mark.parametrize(
    ("window", "ahead_ms"),
    [
        (None, -5_001), (None, -3_600_000), (60_000, -60_001), (1_000, -1_001), (None, 2_500),
        (60_000, 2_500), (60_000, 3_600_000),
    ],
)  # fmt: skip
def test_outside_the_window_it_is_refused(
    signing: SigningClient, window: int | None, ahead_ms: int
) -> None:
    signing.window, signing.ahead_ms = window, ahead_ms
    assert unauthorized(signing.get("/orders")) == "timestamp_out_of_window"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in ("KEY", "TIMESTAMP", "SIGNATURE")),
        *((name, "") for name in ("KEY", "TIMESTAMP", "SIGNATURE", "WINDOW")),
        ("KEY", "ek_1"), ("KEY", "ek_" + "g" * 24), ("KEY", "ek_" + "0" * 24 + "\x00"),
        ("TIMESTAMP", "now"), ("TIMESTAMP", "1.5"), ("TIMESTAMP", "-1"), ("TIMESTAMP", "1" * 17),
        ("TIMESTAMP", "\u0661"), ("TIMESTAMP", " 1700000000000"),
        ("WINDOW", "0"), ("WINDOW", "60001"), ("WINDOW", "5e3"), ("WINDOW", "-1"), ("WINDOW", "05000"),
        ("SIGNATURE", "0" * 63), ("SIGNATURE", "A" * 64), ("SIGNATURE", "\u00e9" * 64),
    ],
)  # fmt: skip
def test_headers_that_are_missing_or_malformed_are_named(
    signing: SigningClient, name: str, value: str | None
) -> None:
    signing.changed = {f"HTTP_X_API_{name}": value}
    response = signing.get("/orders")
    assert unauthorized(response) == "malformed_signature"
    assert f"X-Api-{name.title()}" in response.json()["message"]


def test_an_unknown_key_is_refused(signing: SigningClient) -> None:
    signing.public_id = "ek_" + "0" * 24
    assert unauthorized(signing.get("/orders")) == "unknown_api_key"


def test_a_revoked_key_is_refused_at_once(key: NewApiKey, signing: SigningClient) -> None:
    assert signing.get("/orders").status_code == 200
    revoke_api_key(api_key_id=key.key.pk, actor_id=1)
    assert unauthorized(signing.get("/orders")) == "api_key_revoked"


def test_the_key_of_an_inactive_owner_is_refused(signing: SigningClient) -> None:
    User.objects.filter(pk=1).update(is_active=False)
    assert unauthorized(signing.get("/orders")) == "owner_inactive"


@pytest.mark.parametrize(
    ("networks", "proxies", "address", "forwarded", "is_allowed"),
    [
        (["203.0.113.0/24"], 0, "203.0.113.9", None, True),
        (["203.0.113.0/24"], 0, "203.0.114.9", None, False),
        (["203.0.113.9"], 0, "203.0.113.9", None, True),
        (["203.0.113.9"], 0, "203.0.113.8", None, False),
        (["198.51.100.0/24", "2001:db8::/32"], 0, "2001:db8::1", None, True),
        (["2001:db8::/32"], 0, "203.0.113.9", None, False),
        (["203.0.113.0/24"], 0, "::ffff:203.0.113.9", None, True),
        (["203.0.113.0/24"], 0, "10.0.0.1", "203.0.113.9", False),
        (["203.0.113.0/24"], 1, "10.0.0.1", "203.0.113.9", True),
        (["203.0.113.0/24"], 1, "10.0.0.1", "203.0.113.9, 198.51.100.1", False),
        (["203.0.113.0/24"], 0, "", None, False),
    ],
)
def test_a_key_may_be_bound_to_addresses(
    world: World,
    settings: Settings,
    networks: list[str],
    proxies: int,
    address: str,
    forwarded: str | None,
    is_allowed: bool,
) -> None:
    settings.TRUSTED_PROXIES = proxies
    made = create_api_key(owner_id=1, name="bot", scopes=["read"], allowed_networks=networks)
    client = SigningClient(made, REMOTE_ADDR=address)
    client.changed = {"HTTP_X_FORWARDED_FOR": forwarded}
    response = client.get("/orders")
    if is_allowed:
        assert response.status_code == 200
    else:
        assert unauthorized(response) == "address_not_allowed"


def test_bad_credentials_are_refused_where_none_are_needed(signing: SigningClient) -> None:
    signing.secret = "another"
    for path in ("/markets", "/markets/ADA-USDT/book", "/markets/ADA-USDT/trades"):
        assert unauthorized(signing.get(path)) == "bad_signature"


def test_credentials_of_a_kind_we_do_not_know_are_none(world: World) -> None:
    for value in ("Basic dXNlcjE6cGFzc3dvcmQ=", "Bearer x"):
        response = ApiClient().get("/orders", headers={"Authorization": value})
        assert unauthorized(response) == "not_signed_in"


def test_a_signed_body_that_is_too_large_is_not_read(signing: SigningClient) -> None:
    body = json.dumps(SHORT | {"note": "x" * MAX_BODY_BYTES})
    assert refusal(signing.send(body)) == (413, "body_too_large", None)


def test_a_signed_body_that_is_no_json_is_refused_as_ever(signing: SigningClient) -> None:
    assert refusal(signing.send("{")) == (400, "malformed_json", None)
    assert refusal(signing.send("{}", "text/plain")) == (415, "unsupported_media_type", None)


def test_a_signed_order_that_is_sent_again_is_the_first_one(
    world: World, signing: SigningClient
) -> None:
    signing.changed = {}
    sent: list[dict[str, Any]] = []
    send = ApiClient.request

    def keep(self: ApiClient, **request: Any) -> Any:
        sent.append(request)
        return send(self, **request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiClient, "request", keep)
        first = signing.order(user_id=None)
    again = ApiClient().request(**sent[0] | {"wsgi.input": _body_of(user_id=None)})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert first.json()["client_order_id"].startswith("signed:")
    assert Order.objects.count() == 1
    assert balance_of(1, "USDT") == ("981", "19")


def _body_of(**changes: Any) -> FakePayload:
    order = {name: value for name, value in (SHORT | changes).items() if value is not None}
    return FakePayload(json.dumps(order))


def test_two_orders_signed_apart_are_two(world: World, signing: SigningClient) -> None:
    one = signing.order(user_id=None, quantity=1)
    signing.ahead_ms = 1
    other = signing.order(user_id=None, quantity=1)
    assert (one.status_code, other.status_code) == (201, 201)
    assert one.json()["id"] != other.json()["id"]


def test_a_clients_own_order_id_stays(world: World, signing: SigningClient) -> None:
    assert signing.order(client_order_id="mine-1").json()["client_order_id"] == "mine-1"


def test_an_order_that_is_not_signed_gets_no_id(world: World) -> None:
    client = ApiClient()
    client.force_login(User.objects.get(pk=1))
    assert client.order().json()["client_order_id"] is None


def test_a_signed_balance_from_the_cache_costs_one_query(
    world: World, signing: SigningClient, django_assert_num_queries: Callable[[int], Any]
) -> None:
    trust_cache()
    signing.get("/balance/1")
    with django_assert_num_queries(1):
        response = signing.get("/balance/1")
    assert response["X-Balance-Source"] == "cache"


def test_a_session_costs_two_queries(
    world: World, django_assert_num_queries: Callable[[int], Any]
) -> None:
    trust_cache()
    client = ApiClient()
    client.force_login(User.objects.get(pk=1))
    client.get("/balance/1")
    with django_assert_num_queries(2):
        response = client.get("/balance/1")
    assert response["X-Balance-Source"] == "cache"


def test_the_key_is_found_by_an_index(world: World, key: NewApiKey) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        found = ApiKey.objects.filter(public_id=key.key.public_id).explain()
        cursor.execute("RESET enable_seqscan")
    assert "Index Cond" in found


def test_the_last_use_is_noted_once_a_minute(
    world: World, key: NewApiKey, signing: SigningClient
) -> None:
    def noted() -> Any:
        return ApiKey.objects.get(pk=key.key.pk).last_used_at

    assert noted() is None
    signing.get("/orders")
    first = noted()
    assert timezone.now() - first < timedelta(seconds=30)
    signing.get("/orders")
    assert noted() == first
    ApiKey.objects.update(last_used_at=first - keys.USE_NOTED_EVERY)
    signing.get("/orders")
    assert noted() >= first


def test_a_refused_request_is_no_use(key: NewApiKey, signing: SigningClient) -> None:
    signing.secret = "another"
    signing.get("/orders")
    assert ApiKey.objects.get(pk=key.key.pk).last_used_at is None


def test_encryption_keys_can_be_changed_one_after_the_other(
    key: NewApiKey, signing: SigningClient, settings: Settings
) -> None:
    old, new = settings.API_KEY_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.API_KEY_ENCRYPTION_KEYS = [new, old]
    assert signing.get("/orders").status_code == 200
    call_command("reencrypt_api_keys")
    settings.API_KEY_ENCRYPTION_KEYS = [new]
    assert signing.get("/orders").status_code == 200
    settings.API_KEY_ENCRYPTION_KEYS = [old]
    assert unauthorized(signing.get("/orders")) == "api_key_unusable"


def test_what_cannot_be_decrypted_is_named_and_stops_nothing(
    key: NewApiKey, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REENCRYPT_BATCH", 2)
    old, lost = settings.API_KEY_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.API_KEY_ENCRYPTION_KEYS = [lost]
    unreadable = create_api_key(owner_id=1, name="lost", scopes=["read"]).key
    revoked = create_api_key(owner_id=1, name="revoked", scopes=["read"]).key
    revoke_api_key(api_key_id=revoked.pk, actor_id=1)
    settings.API_KEY_ENCRYPTION_KEYS = [old]
    made = [create_api_key(owner_id=1, name=str(n), scopes=["read"]) for n in range(4)]
    new = Fernet.generate_key().decode()

    settings.API_KEY_ENCRYPTION_KEYS = [new, old]
    with pytest.raises(CommandError, match=unreadable.public_id) as failed:
        call_command("reencrypt_api_keys")

    assert str(failed.value).count("ek_") == 1, "and no other"
    settings.API_KEY_ENCRYPTION_KEYS = [new]
    for one in (key, *made):
        assert unseal(ApiKey.objects.get(pk=one.key.pk).sealed_secret) == one.secret
    assert ApiKey.objects.get(pk=unreadable.pk).sealed_secret == unreadable.sealed_secret


def test_a_revoked_key_has_no_secret_any_more(key: NewApiKey) -> None:
    assert revoke_api_key(api_key_id=key.key.pk, actor_id=1).sealed_secret == ""
    assert ApiKey.objects.get(pk=key.key.pk).sealed_secret == ""


def test_noting_the_use_waits_for_nobody(
    world: World, key: NewApiKey, signing: SigningClient
) -> None:
    def ask() -> int:
        try:
            return int(signing.get("/orders").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as others, transaction.atomic():
        ApiKey.objects.select_for_update().get(pk=key.key.pk)
        # A lock that is waited for ends the wait after 5 s, with an error.
        assert others.submit(ask).result(timeout=3) == 200
    assert ApiKey.objects.get(pk=key.key.pk).last_used_at is None
    assert ask() == 200
    assert ApiKey.objects.get(pk=key.key.pk).last_used_at is not None


def test_a_use_that_cannot_be_noted_fails_no_request(world: World, signing: SigningClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE exchange_apikey ADD CONSTRAINT unused CHECK (last_used_at IS NULL)"
        )
        try:
            assert signing.get("/orders").status_code == 200
        finally:
            cursor.execute("ALTER TABLE exchange_apikey DROP CONSTRAINT unused")


def test_noting_the_use_on_a_connection_that_was_lost_fails_nothing(key: NewApiKey) -> None:
    connection.ensure_connection()
    connection.connection.close()
    try:
        keys.note_use(key.key)
    finally:
        connection.close()
    assert ApiKey.objects.get(pk=key.key.pk).last_used_at is None


def test_a_service_credential_does_not_outlive_its_owners_rank(world: World) -> None:
    owner = User.objects.create_user("operator", is_staff=True)
    made = create_service_credential(
        owner_id=owner.pk, name="gateway", scopes=["read"], actor_id=None
    )
    own = create_api_key(owner_id=owner.pk, name="bot", scopes=["read"])
    assert SigningClient(made).get("/balance/1").status_code == 200
    User.objects.filter(pk=owner.pk).update(is_staff=False)
    assert unauthorized(SigningClient(made).get("/balance/1")) == "owner_not_staff"
    assert SigningClient(own).get("/orders").status_code == 200, "a key of one's own works"

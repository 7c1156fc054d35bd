"""API keys: made, revoked, used. The only code that writes them.

A secret leaves this module once, when its key is made. It must never be logged or shown again.
"""

import ipaddress
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import structlog
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from exchange.access.sealing import UnsealableError, seal, unseal
from exchange.api.errors import ClientError
from exchange.models import ApiKey, User

logger = structlog.get_logger(__name__)

Scope = Literal["read", "trade"]
MAX_ACTIVE_KEYS = 30
USE_NOTED_EVERY = timedelta(minutes=1)
REENCRYPT_BATCH = 500
_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Clients from there are known by their IPv4 address (`exchange.api.client_address`)."""


class TooManyApiKeysError(ClientError):
    code = "too_many_api_keys"


class InvalidNetworkError(ClientError):
    code = "invalid_network"
    field = "allowed_networks"


class ApiKeyNotFoundError(ClientError):
    code = "unknown_api_key"
    field = "api_key_id"
    http_status = 404


@dataclass(frozen=True)
class NewApiKey:
    """A key that was just made, and its secret, for the only time."""

    key: ApiKey
    secret: str


@dataclass(frozen=True)
class Reencrypted:
    """How many secrets are under the first encryption key now, and the keys whose is not."""

    done: int
    left: tuple[str, ...]


def create_api_key(
    *,
    owner_id: int,
    name: str,
    scopes: Collection[Scope],
    allowed_networks: Sequence[str] = (),
) -> NewApiKey:
    """Make a key with which a program acts for its owner, and for nobody else.

    Raises:
        TooManyApiKeysError: the owner has `MAX_ACTIVE_KEYS` that are not revoked.
        InvalidNetworkError: an entry of `allowed_networks` is no network.
    """
    networks = _networks(allowed_networks)
    with transaction.atomic():
        # One after the other for each owner, or two at once would both be the last one allowed.
        User.objects.select_for_update().get(pk=owner_id)
        if ApiKey.objects.filter(owner_id=owner_id, revoked_at=None).count() >= MAX_ACTIVE_KEYS:
            raise TooManyApiKeysError(
                f"You have {MAX_ACTIVE_KEYS} API keys. Revoke one that you do not need any more."
            )
        return _create(owner_id, name, scopes, networks, actor_id=owner_id)


def create_service_credential(
    *,
    owner_id: int,
    name: str,
    scopes: Collection[Scope],
    allowed_networks: Sequence[str] = (),
    actor_id: int | None,
) -> NewApiKey:
    """Make a key that may act for any user. Who may do that is for the caller to check.

    `actor_id`: the operator who makes it, or None for a command.

    Raises:
        InvalidNetworkError: an entry of `allowed_networks` is no network.
    """
    networks = _networks(allowed_networks)
    return _create(owner_id, name, scopes, networks, actor_id=actor_id, may_act_for_users=True)


def revoke_api_key(*, api_key_id: int, owner_id: int | None = None, actor_id: int | None) -> ApiKey:
    """End a key for good, at once, and forget its secret. To ask again is harmless.

    `owner_id`: only a key of this user.

    Raises:
        ApiKeyNotFoundError: there is no such key.
    """
    keys = ApiKey.objects.filter(pk=api_key_id)
    if owner_id is not None:
        keys = keys.filter(owner_id=owner_id)
    is_new = keys.filter(revoked_at=None).update(revoked_at=timezone.now(), sealed_secret="")
    key = keys.first()
    if key is None:
        raise ApiKeyNotFoundError(f"There is no API key {api_key_id}.")
    if is_new:
        logger.info("api_key_revoked", key_id=key.public_id, actor_id=actor_id)
    return key


def list_api_keys(*, owner_id: int) -> QuerySet[ApiKey]:
    """Return a user's keys, the newest first, the revoked ones too."""
    return ApiKey.objects.filter(owner_id=owner_id).order_by("-id")


def find_api_key(*, public_id: str) -> ApiKey | None:
    """Return a key with its owner, in one query, or None."""
    return ApiKey.objects.select_related("owner").filter(public_id=public_id).first()


def note_use(key: ApiKey) -> None:
    """Write down that a key was used now, unless that was done less than a minute ago.

    Waits for nobody who has the row, and fails no request: the next use is noted as well.
    """
    now = timezone.now()
    long_ago = now - USE_NOTED_EVERY
    if key.last_used_at is not None and key.last_used_at > long_ago:
        return
    not_noted = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
    try:
        with transaction.atomic():
            free = ApiKey.objects.select_for_update(skip_locked=True).filter(not_noted, pk=key.pk)
            ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("api_key_use_not_noted", key_id=key.public_id, error=type(error).__name__)


def is_allowed_from(key: ApiKey, address: str) -> bool:
    """Return whether the key may be used from this IP address."""
    if not key.allowed_networks:
        return True
    client = ipaddress.ip_address(address)
    return any(client in ipaddress.ip_network(network) for network in key.allowed_networks)


def reencrypt_secrets() -> Reencrypted:
    """Encrypt the secret of every key that is not revoked with the first of the encryption keys.

    A batch at a time: nobody who signs a request waits for all of them, and what was done stays
    done. To do it again is harmless. A secret that no key fits is left as it is.
    """
    done, left = 0, []
    after = 0
    while batch := _lock_and_reencrypt(after=after):
        done += sum(is_done for _, _, is_done in batch)
        left += [public_id for _, public_id, is_done in batch if not is_done]
        after = batch[-1][0]
    return Reencrypted(done, tuple(left))


def _lock_and_reencrypt(*, after: int) -> list[tuple[int, str, bool]]:
    """Return number, public id and success of each key of the batch; none at the end."""
    batch = []
    with transaction.atomic():
        usable = ApiKey.objects.select_for_update().filter(revoked_at=None, pk__gt=after)
        for key in usable.order_by("pk")[:REENCRYPT_BATCH]:
            try:
                key.sealed_secret = seal(unseal(key.sealed_secret))
            except UnsealableError as error:
                logger.error("api_key_unsealable", key_id=key.public_id, error=str(error))
                batch.append((key.pk, key.public_id, False))
            else:
                key.save(update_fields=["sealed_secret"])
                batch.append((key.pk, key.public_id, True))
    return batch


def _create(
    owner_id: int,
    name: str,
    scopes: Collection[Scope],
    networks: list[str],
    *,
    actor_id: int | None,
    may_act_for_users: bool = False,
) -> NewApiKey:
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        owner_id=owner_id,
        name=name,
        public_id=f"ek_{secrets.token_hex(12)}",
        sealed_secret=seal(secret),
        may_read="read" in scopes,
        may_trade="trade" in scopes,
        may_act_for_users=may_act_for_users,
        allowed_networks=networks,
    )
    logger.info(
        "api_key_created",
        key_id=key.public_id,
        owner_id=owner_id,
        actor_id=actor_id,
        scopes=key.scopes,
        allowed_networks=networks,
    )
    return NewApiKey(key, secret)


def _networks(texts: Sequence[str]) -> list[str]:
    """Return the networks as they are usually written; a single address is a network, too."""
    if len(texts) > ApiKey.MAX_NETWORKS:
        raise InvalidNetworkError(f"Give at most {ApiKey.MAX_NETWORKS} networks.")
    try:
        networks = [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise InvalidNetworkError(
            "Give networks as 203.0.113.0/24 or 2001:db8::/32, with no bit set after the prefix."
        ) from error
    for network in networks:
        if isinstance(network, ipaddress.IPv6Network) and (
            network.subnet_of(_IPV4_MAPPED) or "%" in str(network)
        ):
            raise InvalidNetworkError(
                "No client has such an address here: give an IPv4 address as 203.0.113.9, and an "
                "IPv6 address without its zone."
            )
    return [str(network) for network in networks]

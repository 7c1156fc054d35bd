"""For whom a request acts: its own user, and others only where that is allowed.

Others are for demo mode, for service credentials, and for staff with the permission that the
same thing needs in the admin. The views ask here and pass a plain `user_id` to the services.
"""

from typing import cast

from rest_framework.request import Request

from exchange.access.authentication import signature_of
from exchange.access.demo import is_demo_request
from exchange.api.errors import ClientError
from exchange.models import ApiKey, User


class NotYourUserError(ClientError):
    code = "not_your_user"
    field = "user_id"
    http_status = 403


class UserRequiredError(ClientError):
    code = "required"
    field = "user_id"
    http_status = 400


def confined_to(request: Request, permission: str) -> int | None:
    """Return the only user whose things this request may touch, or None: anybody's.

    `permission`: what staff need to touch those of others, for example `orders.view_order`.
    """
    own = own_user(request)
    if isinstance(request.auth, ApiKey):
        return None if request.auth.may_act_for_users else request.auth.owner_id
    if own is None:
        assert is_demo_request(request._request), "the view lets in who has not signed in"
        return None
    is_staff = cast(User, request.user).is_staff
    return None if is_staff and request.user.has_perm(permission) else own


def meant_user(request: Request, wanted: int | None, permission: str) -> int:
    """Return for whom the request acts: for `wanted`, or for its own user if none is named.

    Raises:
        NotYourUserError: it may not act for `wanted`.
        UserRequiredError: none is named, and it has no user of its own (demo mode).
    """
    own = own_user(request)
    if wanted is None:
        if own is None:
            raise UserRequiredError("Give the user: nobody has signed in.")
        return own
    if may_touch(request, wanted, permission):
        return wanted
    raise NotYourUserError(f"You are user {own}: leave user_id out, or give your own.")


def listed_user(request: Request, wanted: int | None, permission: str) -> int | None:
    """Return whose things to list; None: everybody's.

    Raises:
        NotYourUserError: they are somebody else's, and the request may not see them.
    """
    only = confined_to(request, permission)
    if only is None:
        return wanted
    if wanted not in {None, only}:
        raise NotYourUserError(f"You are user {only}: leave user_id out, or give your own.")
    return only


def may_touch(request: Request, user_id: int, permission: str) -> bool:
    """Return whether the request may touch what is this user's."""
    if user_id == own_user(request):
        return True
    return confined_to(request, permission) is None


def own_user(request: Request) -> int | None:
    """Return the user who signed in, or whose key it is; None in demo mode."""
    return request.user.pk


def own_id_of_order(request: Request, place: int | None = None) -> str | None:
    """Return the `client_order_id` of a signed order that brings none; None if it is not signed.

    It is the same for the same signature, so an order that is sent a second time by whoever has
    seen it is the first one (decision 0013). `place`: which order of a batch it is, from 0.
    """
    signature = signature_of(request)
    if signature is None:
        return None
    return f"signed:{signature[:48]}" + ("" if place is None else f":{place}")

"""How the tests of the admin fill in a form."""

import re
from typing import Any

from django.http import HttpResponse
from django.test import Client

from exchange.admin_columns import admin_url
from exchange.models import User


def text_of(response: Any) -> str:
    assert isinstance(response, HttpResponse)
    return str(response.content.decode())


def transfer_url(page: str, user_id: int = 1) -> str:
    return f"{admin_url(User, 'change', user_id).removesuffix('change/')}{page}/"


def form_token(client: Client, page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', text_of(client.get(transfer_url(page))))
    assert found is not None
    return found[1]


def send_transfer(client: Client, page: str, user_id: int = 1, /, **values: str) -> Any:
    """Open the form as a browser does, fill it in, send it."""
    token = form_token(client, page)
    return client.post(transfer_url(page, user_id), {"form_token": token, **values})

"""What an order is called: by its number, or `client:` and its client's own id.

A client's id may consist of digits alone, so it never stands where a number may without the word
before it. It is unique for its user only: whoever asks says, or is, the user.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from django.db import connection

from exchange.arrays import array

OWN_ID = "[A-Za-z0-9._:-]{1,64}"
"""A client's own id, as a regular expression."""
PREFIX = "client:"
NO_ORDER = 0
"""The number of no order: numbers begin at 1."""

_OWN_NAME = re.compile(f"{PREFIX}({OWN_ID})").fullmatch


class OrderName(NamedTuple):
    """An order's number, or its client's own id: one of the two."""

    number: int | None = None
    client_order_id: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.client_order_id}" if self.number is None else str(self.number)


class OrderNameConverter:
    """An order in an address: `orders/<order:order_id>`."""

    regex = f"[0-9]+|{PREFIX}{OWN_ID}"

    def to_python(self, value: str) -> OrderName:
        return own_name(value) or OrderName(int(value))

    def to_url(self, value: object) -> str:
        return str(value)


def own_name(text: str) -> OrderName | None:
    """Return the name that `text` is, if it is `client:` and a client's id."""
    found = _OWN_NAME(text)
    return None if found is None else OrderName(client_order_id=found[1])


def numbers_of(client_order_ids: Collection[str], user_id: int) -> dict[str, int]:
    """Return the number of each order that a user has under one of `client_order_ids`."""
    if not client_order_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client_order_id, id FROM orders_order"
            " WHERE user_id = %s AND client_order_id = ANY(%s::varchar[])",
            [user_id, array(client_order_ids)],
        )
        return dict(cursor.fetchall())


def number_of(name: OrderName, user_id: int) -> int:
    """Return the number of a user's order, or `NO_ORDER`; a number is not looked up."""
    if name.client_order_id is None:
        return name.number or NO_ORDER
    return numbers_of({name.client_order_id}, user_id).get(name.client_order_id, NO_ORDER)

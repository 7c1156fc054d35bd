"""The user that fees are paid to: made with the tables, and again after a reset."""

from django.contrib.auth.hashers import make_password
from django.db import DEFAULT_DB_ALIAS, connections

from exchange.models import FEE_ACCOUNT_ID

USERNAME = "fee account"
"""No user can be given this name: it has a space."""


def make_fee_account(using: str = DEFAULT_DB_ALIAS) -> None:
    """Make it unless it is there.

    Written out, with the columns of the first version: it is also called when the tables are
    those of an earlier one.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchange_user (id, username, password, is_superuser, first_name,"
            " last_name, email, is_staff, is_active, date_joined)"
            " VALUES (%s, %s, %s, false, '', '', '', false, false, now())"
            " ON CONFLICT (id) DO NOTHING",
            [FEE_ACCOUNT_ID, USERNAME, make_password(None)],
        )

"""Requested deposits and withdrawals in the admin: approved or rejected, confirmed, once."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from balances.models import Transfer
from balances.transfers import request_transfer
from exchange.admin_columns import admin_url
from exchange.models import User
from tests.integration.admin.support import text_of
from tests.support import World, balance_of

pytestmark = pytest.mark.django_db(transaction=True)


def url(page: str, transfer: Transfer) -> str:
    return f"{admin_url(Transfer, 'change', transfer.pk).removesuffix('change/')}{page}/"


def decide(client: Client, page: str, transfer: Transfer, note: str = "seen") -> Any:
    """Open the page as a browser does, say why, confirm."""
    asked = text_of(client.get(url(page, transfer)))
    found = re.search(r'name="form_token" value="([^"]+)"', asked)
    assert found is not None
    return client.post(url(page, transfer), {"form_token": found[1], "note": note})


@pytest.fixture
def waiting(operator: Client) -> Transfer:
    return Transfer.objects.get()


def test_the_page_shows_what_is_decided(operator: Client, waiting: Transfer) -> None:
    page = text_of(operator.get(admin_url(Transfer, "change", waiting.pk)))
    assert url("approve", waiting) in page
    assert url("reject", waiting) in page
    asked = re.sub(r"\s+", " ", text_of(operator.get(url("approve", waiting))))
    assert "Approve the deposit of 5 ADA, user user2, wire-5" in asked
    assert "496" in asked  # what user 2 has now
    waiting.refresh_from_db()
    assert waiting.status == "requested", "to look is not to decide"


def test_approve(operator: Client, waiting: Transfer) -> None:
    answer = decide(operator, "approve", waiting, "wire seen")
    assert answer.status_code == 302
    waiting.refresh_from_db()
    assert (waiting.status, waiting.note) == ("approved", "wire seen")
    assert waiting.decided_by == User.objects.get(username="operator")
    assert balance_of(2, "ADA") == ("501", "0")
    assert "Approved: wire seen" in LogEntry.objects.get().get_change_message()


def test_reject(operator: Client, waiting: Transfer) -> None:
    assert decide(operator, "reject", waiting, "never came").status_code == 302
    waiting.refresh_from_db()
    assert (waiting.status, waiting.note) == ("rejected", "never came")
    assert balance_of(2, "ADA") == ("496", "0")
    assert "Rejected: never came" in LogEntry.objects.get().get_change_message()


def test_a_decision_is_confirmed_with_a_note_and_a_fresh_form(
    operator: Client, waiting: Transfer
) -> None:
    assert "This field is required." in text_of(decide(operator, "approve", waiting, ""))
    forged = operator.post(url("approve", waiting), {"form_token": "x", "note": "n"})
    assert "has been sent before" in text_of(forged)
    assert balance_of(2, "ADA") == ("496", "0")
    assert not LogEntry.objects.exists()


def test_what_is_decided_is_not_decided_again(operator: Client, waiting: Transfer) -> None:
    decide(operator, "approve", waiting)
    again = decide(operator, "reject", waiting)
    assert "It has been decided already: approved." in text_of(again)
    assert balance_of(2, "ADA") == ("501", "0")


def test_nobody_decides_their_own(operator: Client) -> None:
    me = User.objects.get(username="operator").pk
    mine = request_transfer(
        user_id=me, kind="deposit", asset="ADA", amount=Transfer.objects.get().amount,
        external_reference="mine", actor_id=me,
    ).transfer  # fmt: skip
    assert "It is your own" in text_of(decide(operator, "approve", mine))
    assert balance_of(me, "ADA") == ("0", "0")


@pytest.mark.parametrize("page", ["approve", "reject"])
def test_it_needs_its_permission(clerk: Client, exchange_world: World, page: str) -> None:
    transfer = request_transfer(
        user_id=1, kind="withdrawal", asset="USDT", amount=Decimal(3),
        external_reference="w", actor_id=1,
    ).transfer  # fmt: skip
    assert clerk.post(url(page, transfer), {"note": "n"}).status_code == 403
    viewer = User.objects.get(username="clerk")
    viewer.user_permissions.add(Permission.objects.get(codename="view_transfer"))
    shown = text_of(clerk.get(admin_url(Transfer, "change", transfer.pk)))
    assert url(page, transfer) not in shown
    assert clerk.post(url(page, transfer), {"note": "n"}).status_code == 403
    transfer.refresh_from_db()
    assert transfer.status == "requested"


def test_a_transfer_that_is_not_there(operator: Client, waiting: Transfer) -> None:
    waiting.pk += 1
    assert operator.get(url("approve", waiting)).status_code == 404

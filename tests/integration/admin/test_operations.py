"""What an operator does in the admin: deposit, withdraw, cancel, look after users."""

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from balances.models import (
    LedgerEntry,
)
from exchange.admin_columns import admin_url
from exchange.models import User
from orders.models import Order
from tests.integration.admin.support import form_token, send_transfer, text_of, transfer_url
from tests.support import World, balance_of, differences, status_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_user_page_shows_balances_and_orders(operator: Client) -> None:
    page = re.sub(r"\s+", " ", text_of(operator.get(admin_url(User, "change", 1))))

    assert "981" in page  # 1000 less the hold of 19
    assert "11.4" in page  # what of it is still held
    assert "992.4" not in text_of(operator.get(admin_url(User, "change", 2)))
    assert admin_url(Order, "change", Order.objects.get(user_id=1).pk) in page
    assert transfer_url("deposit") in page


def test_user_page_can_be_saved_while_orders_arrive(
    operator: Client, exchange_world: World
) -> None:
    page = operator.get(admin_url(User, "change", 1))
    exchange_world.place(1, "buy", 1, "1.5")
    sent = {"username": "user1", "email": "one@example.org", "is_active": "on"}
    for formset in page.context["inline_admin_formsets"]:
        form = formset.formset.management_form
        sent |= {form.add_prefix(name): str(form[name].value()) for name in form.fields}

    answer = operator.post(admin_url(User, "change", 1), sent)

    assert answer.status_code == 302, answer.context["errors"]
    assert User.objects.get(pk=1).email == "one@example.org"


def test_deposit_writes_the_ledger(operator: Client) -> None:
    answer = send_transfer(operator, "deposit", asset="USDT", amount="0.000001", note="wire 7")

    assert answer.status_code == 302
    assert balance_of(1, "USDT") == ("981.000001", "11.4")
    entry = LedgerEntry.objects.first()
    assert entry is not None
    assert (entry.kind, entry.available_change) == ("deposit", Decimal("0.000001"))
    assert (entry.user_id, entry.note) == (1, "wire 7")
    assert entry.actor == User.objects.get(username="operator")
    assert "Deposited 0.000001 USDT: wire 7" in LogEntry.objects.get().get_change_message()
    (halt,) = differences()  # the one that the fixture has made
    assert halt.startswith("halted_markets: ('BTC-USDT'")


def test_nobody_credits_their_own_account(operator: Client) -> None:
    me = User.objects.get(username="operator").pk
    answer = send_transfer(operator, "deposit", me, asset="USDT", amount="1", note="mine")
    assert "It is your own account" in text_of(answer)
    assert balance_of(me, "USDT") == ("0", "0")


def test_withdrawal_takes_what_is_available(operator: Client) -> None:
    answer = send_transfer(operator, "withdraw", asset="USDT", amount="981", note="paid out")

    assert answer.status_code == 302
    assert balance_of(1, "USDT") == ("0", "11.4")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amount": "981.000001"}, "981.000001 USDT is needed, and less is available."),
        ({"amount": "0"}, "The amount must be greater than zero"),
        ({"amount": "0.0000001"}, "USDT has 6 decimals"),
        ({"amount": "NaN"}, "Enter a number."),
        ({"amount": "1,5"}, "Enter a number."),
        ({"note": ""}, "This field is required."),
        ({"asset": "XXX"}, "Select a valid choice."),
    ],
)
def test_refused_withdrawal_says_why_and_changes_nothing(
    operator: Client, values: dict[str, str], message: str
) -> None:
    entries = LedgerEntry.objects.count()

    sent = {"asset": "USDT", "amount": "1", "note": "n"} | values
    answer = send_transfer(operator, "withdraw", **sent)

    assert answer.status_code == 200
    assert message in text_of(answer)
    assert balance_of(1, "USDT") == ("981", "11.4")
    assert LedgerEntry.objects.count() == entries
    assert not LogEntry.objects.exists()


def test_form_sent_twice_is_carried_out_once(operator: Client) -> None:
    url = transfer_url("deposit")
    sent = {
        "form_token": form_token(operator, "deposit"),
        "asset": "BTC",
        "amount": "1",
        "note": "once",
    }

    first, second = operator.post(url, sent), operator.post(url, sent)
    forged = operator.post(url, sent | {"form_token": "made-up"})

    assert first.status_code == 302
    assert "has been sent before" in text_of(second)
    assert "has been sent before" in text_of(forged)
    assert balance_of(1, "BTC") == ("1", "0")


def test_form_sent_twice_at_once_is_carried_out_once(operator: Client) -> None:
    sent = {"asset": "BTC", "amount": "1", "note": "once"}
    sent["form_token"] = form_token(operator, "deposit")
    session = operator.cookies["sessionid"].value

    def send(_: int) -> int:
        browser = Client()
        browser.cookies["sessionid"] = session
        try:
            return browser.post(transfer_url("deposit"), sent).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(send, range(4)))

    assert answers == [200, 200, 200, 302]
    assert balance_of(1, "BTC") == ("1", "0")


def test_transfer_of_nobody_is_not_found(operator: Client) -> None:
    assert operator.get(transfer_url("deposit", 999_999)).status_code == 404


def test_without_permission_money_does_not_move(clerk: Client) -> None:
    for page in ("deposit", "withdraw"):
        sent = {"asset": "USDT", "amount": "1", "note": "n"}
        assert clerk.get(transfer_url(page)).status_code == 403
        assert clerk.post(transfer_url(page), sent).status_code == 403
    shown = text_of(clerk.get(admin_url(User, "change", 1)))

    assert transfer_url("deposit") not in shown
    assert ">1000<" not in re.sub(r"\s+", "", shown)
    assert clerk.get(admin_url(Order, "changelist")).status_code == 403
    assert balance_of(1, "USDT") == ("1000", "0")


def test_nobody_makes_himself_superuser(clerk: Client) -> None:
    boss = User.objects.create_superuser("boss")
    me = User.objects.get(username="clerk")

    assert clerk.post(admin_url(User, "change", me.pk), {"is_superuser": "on"}).status_code == 403
    assert clerk.post(admin_url(User, "change", boss.pk), {"username": "x"}).status_code == 403
    password = f"{admin_url(User, 'change', boss.pk).removesuffix('change/')}password/"
    assert clerk.get(password).status_code == 403
    page = clerk.get(admin_url(User, "change", 1))
    assert 'name="is_superuser"' not in text_of(page)


def test_users_are_made_but_never_deleted(operator: Client) -> None:
    sent = {
        "username": "newcomer",
        "usable_password": "true",
        "password1": "rather-long-9",
        "password2": "rather-long-9",
    }
    assert operator.post(admin_url(User, "add"), sent).status_code == 302
    newcomer = User.objects.get(username="newcomer")
    assert newcomer.check_password("rather-long-9")
    assert operator.post(admin_url(User, "delete", newcomer.pk), {"post": "yes"}).status_code == 403


def test_cancel_is_asked_for_order_by_order(operator: Client, exchange_world: World) -> None:
    resting, filled = Order.objects.get(user_id=1), Order.objects.get(user_id=2)
    sent = {"action": "cancel_selected", "_selected_action": [resting.pk, filled.pk]}

    answer = operator.post(admin_url(Order, "changelist"), sent, follow=True)
    exchange_world.pump()

    messages = [str(message) for message in answer.context["messages"]]
    assert messages == [
        f"Order {filled.pk}: The order is filled already: nothing is left to cancel.",
        f"Cancel asked for: order {resting.pk}. The engine confirms.",
    ]
    assert status_of(resting) == ("canceled", "4")
    assert balance_of(1, "USDT") == ("992.4", "0")


def test_cancel_needs_its_permission(clerk: Client, exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 10, "1.9")
    viewer = User.objects.get(username="clerk")
    viewer.user_permissions.add(Permission.objects.get(codename="view_order"))
    sent = {"action": "cancel_selected", "_selected_action": [order.pk]}

    listed = clerk.get(admin_url(Order, "changelist"))
    clerk.post(admin_url(Order, "changelist"), sent)

    assert "cancel_selected" not in text_of(listed)
    order.refresh_from_db()
    assert order.cancel_requested_at is None

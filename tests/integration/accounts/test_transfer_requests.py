"""Requested deposits and withdrawals: what is held, moved and released, exactly once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection
from structlog.testing import capture_logs

from balances import transfers
from balances.models import LedgerEntry, Transfer
from balances.selectors import get_balances
from balances.services import (
    InsufficientBalanceError,
    InvalidAmountError,
    MissingNoteError,
    UnknownAssetError,
    UnknownUserError,
)
from exchange.models import User
from tests.support import World, balance_of, differences, trust_cache


@pytest.fixture
def staff(exchange_world: World) -> int:
    return User.objects.create_user("treasurer", is_staff=True).pk


def ask(kind: str, amount: str = "10", reference: str = "r-1", **changes: Any) -> Transfer:
    wanted: dict[str, Any] = {"user_id": 1, "asset": "USDT", "actor_id": 1, **changes}
    return transfers.request_transfer(
        kind=kind, amount=Decimal(amount), external_reference=reference, **wanted
    ).transfer


def movements(transfer: Transfer) -> list[tuple[Any, ...]]:
    rows = LedgerEntry.objects.filter(transfer=transfer).order_by("id")
    return [(row.kind, row.available_change, row.held_change) for row in rows]


def test_a_requested_withdrawal_holds_the_money(staff: int) -> None:
    transfer = ask("withdrawal", "10.5")
    assert balance_of(1, "USDT") == ("989.5", "10.5")
    assert movements(transfer) == [("hold", Decimal("-10.5"), Decimal("10.5"))]
    assert differences() == []


def test_an_approved_withdrawal_takes_the_money(staff: int) -> None:
    transfer = ask("withdrawal")
    transfers.approve_transfer(transfer_id=transfer.pk, actor_id=staff, note="wire 9")
    assert balance_of(1, "USDT") == ("990", "0")
    assert movements(transfer) == [
        ("hold", -10, 10), ("release", 10, -10), ("withdrawal", -10, 0),
    ]  # fmt: skip
    taken = LedgerEntry.objects.get(kind="withdrawal")
    assert (taken.actor_id, taken.note) == (staff, "wire 9")
    assert differences() == []


def test_a_rejected_withdrawal_gives_the_money_back(staff: int) -> None:
    transfer = ask("withdrawal")
    transfers.reject_transfer(transfer_id=transfer.pk, actor_id=staff, note="no such account")
    assert balance_of(1, "USDT") == ("1000", "0")
    assert movements(transfer) == [("hold", -10, 10), ("release", 10, -10)]
    assert differences() == []


def test_a_deposit_moves_money_only_when_it_is_approved(staff: int) -> None:
    first, second = ask("deposit", "10"), ask("deposit", "7", "r-2")
    assert balance_of(1, "USDT") == ("1000", "0")
    transfers.approve_transfer(transfer_id=first.pk, actor_id=staff, note="seen on the account")
    transfers.reject_transfer(transfer_id=second.pk, actor_id=staff, note="never came")
    assert balance_of(1, "USDT") == ("1010", "0")
    assert movements(first) == [("deposit", 10, 0)]
    assert movements(second) == []
    assert differences() == []


def test_a_decision_says_who_when_and_why(staff: int) -> None:
    transfer = ask("withdrawal")
    with capture_logs() as logs:
        transfers.reject_transfer(transfer_id=transfer.pk, actor_id=staff, note="no")
    stored = Transfer.objects.get()
    assert (stored.status, stored.decided_by_id, stored.note) == ("rejected", staff, "no")
    assert stored.decided_at is not None
    assert stored.decided_at > stored.requested_at
    assert logs[-1] == {
        "event": "transfer_rejected", "log_level": "info", "transfer_id": transfer.pk,
        "kind": "withdrawal", "user_id": 1, "asset": "USDT", "amount": "10", "actor_id": staff,
        "note": "no",
    }  # fmt: skip


@pytest.mark.parametrize("first", [transfers.approve_transfer, transfers.reject_transfer])
@pytest.mark.parametrize("second", [transfers.approve_transfer, transfers.reject_transfer])
def test_a_request_is_decided_once(staff: int, first: Any, second: Any) -> None:
    transfer = ask("withdrawal")
    first(transfer_id=transfer.pk, actor_id=staff, note="first")
    after = balance_of(1, "USDT")
    with pytest.raises(transfers.TransferDecidedError):
        second(transfer_id=transfer.pk, actor_id=staff, note="second")
    assert (balance_of(1, "USDT"), Transfer.objects.get().note) == (after, "first")


@pytest.mark.parametrize("kind", ["deposit", "withdrawal"])
def test_of_two_decisions_at_once_one_counts(staff: int, kind: str) -> None:
    transfer, start = ask(kind), threading.Barrier(4)

    def decide(number: int) -> bool:
        work = transfers.approve_transfer if number % 2 else transfers.reject_transfer
        start.wait()
        try:
            work(transfer_id=transfer.pk, actor_id=staff, note="at once")
        except transfers.TransferDecidedError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(decide, range(4))) == [False, False, False, True]
    assert balance_of(1, "USDT")[1] == "0"
    assert differences() == []


def test_the_same_reference_is_the_same_request(staff: int) -> None:
    first = ask("withdrawal")
    again = transfers.request_transfer(
        user_id=1, kind="withdrawal", asset="USDT", amount=Decimal("10.0"),
        external_reference="r-1", actor_id=1,
    )  # fmt: skip
    assert (again.transfer.pk, again.created) == (first.pk, False)
    transfers.reject_transfer(transfer_id=first.pk, actor_id=staff, note="no")
    assert ask("withdrawal").status == "rejected", "also when it has been decided"
    assert balance_of(1, "USDT") == ("1000", "0")


@pytest.mark.parametrize(
    "other", [{"kind": "deposit"}, {"amount": "11"}, {"asset": "ADA"}], ids=str
)
def test_a_reference_is_not_used_for_something_else(staff: int, other: dict[str, str]) -> None:
    ask("withdrawal")
    with pytest.raises(transfers.ReferenceReusedError):
        ask(**{"kind": "withdrawal", **other})
    assert Transfer.objects.count() == 1


def test_another_user_may_use_the_same_reference(staff: int) -> None:
    assert ask("deposit").pk != ask("deposit", user_id=2).pk


def test_of_the_same_request_at_once_one_is_stored(staff: int) -> None:
    start = threading.Barrier(4)

    def request(_: int) -> int:
        start.wait()
        try:
            return ask("withdrawal", "600").pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(request, range(4)))) == 1
    assert balance_of(1, "USDT") == ("400", "600")
    assert differences() == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "withdrawal", "amount": "1000.000001"}, InsufficientBalanceError),
        ({"kind": "deposit", "amount": "0"}, InvalidAmountError),
        ({"kind": "deposit", "amount": "-1"}, InvalidAmountError),
        ({"kind": "deposit", "amount": "0.0000001"}, InvalidAmountError),
        ({"kind": "deposit", "asset": "NOSUCH"}, UnknownAssetError),
        ({"kind": "withdrawal", "user_id": 99, "actor_id": None}, UnknownUserError),
    ],
)
def test_what_cannot_be_is_not_stored(
    staff: int, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(**changes)
    assert not Transfer.objects.exists()
    assert balance_of(1, "USDT") == ("1000", "0")


def test_what_orders_hold_cannot_be_withdrawn(staff: int, exchange_world: World) -> None:
    exchange_world.place(1, "buy", 100, "9.5")
    with pytest.raises(InsufficientBalanceError):
        ask("withdrawal", "50.000001")
    ask("withdrawal", "50")
    assert balance_of(1, "USDT") == ("0", "1000")
    assert differences() == []


def test_too_many_do_not_wait(staff: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MAX_REQUESTED", 2)
    first = ask("deposit", "1", "r-1")
    ask("withdrawal", "1", "r-2")
    with pytest.raises(transfers.TooManyTransfersError):
        ask("deposit", "1", "r-3")
    ask("deposit", "1", "r-3", user_id=2)
    assert ask("deposit", "1", "r-1").pk == first.pk
    transfers.reject_transfer(transfer_id=first.pk, actor_id=staff, note="no")
    ask("deposit", "1", "r-4")


@pytest.mark.parametrize("decide", [transfers.approve_transfer, transfers.reject_transfer])
def test_nobody_decides_alone_or_in_silence(staff: int, decide: Callable[..., Any]) -> None:
    transfer = ask("withdrawal")
    with pytest.raises(transfers.OwnTransferError):
        decide(transfer_id=transfer.pk, actor_id=1, note="mine")
    with pytest.raises(MissingNoteError):
        decide(transfer_id=transfer.pk, actor_id=staff, note=" ")
    with pytest.raises(transfers.TransferNotFoundError):
        decide(transfer_id=transfer.pk + 1, actor_id=staff, note="?")
    assert Transfer.objects.get().status == "requested"
    assert balance_of(1, "USDT") == ("990", "10")


def test_the_cache_shows_every_step(staff: int) -> None:
    trust_cache()
    get_balances(user_id=1)
    for step in (lambda: ask("withdrawal"), lambda: decide_only(staff)):
        step()
        found = get_balances(user_id=1)
        assert found is not None
        assert found.source == "cache"
        (usdt,) = found.balances
        stored = balance_of(1, "USDT")
        assert (usdt.available, usdt.held) == (Decimal(stored[0]), Decimal(stored[1]))


def decide_only(staff: int) -> None:
    transfers.approve_transfer(transfer_id=Transfer.objects.get().pk, actor_id=staff, note="ok")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("amount = 0", "transfer_amount_positive"),
        ("kind = 'gift'", "transfer_kind_known"),
        ("external_reference = '=1+1'", "transfer_reference_plain"),
        ("status = 'approved'", "transfer_decision_whole"),
        ("note = 'why'", "transfer_decision_whole"),
        ("status = 'paid'", "transfer_decision_whole"),
        (
            "status = 'approved', decided_by_id = 1, decided_at = now(), note = 'mine'",
            "transfer_decided_by_another",
        ),
        (
            "status = 'approved', decided_by_id = {staff}, decided_at = now(), note = ' '",
            "transfer_decision_whole",
        ),
        ("external_reference = 'r-2'", "transfer_reference_unique"),
    ],
)
def test_the_database_holds_no_request_that_makes_no_sense(
    staff: int, change: str, constraint: str
) -> None:
    transfer = ask("deposit")
    ask("deposit", reference="r-2")
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match=constraint):
        cursor.execute(
            f"UPDATE balances_transfer SET {change.format(staff=staff)} WHERE id = {transfer.pk}"
        )


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("transfer_id = NULL", "ledger_hold_moves_within_balance"),
        ("available_change = 0", "ledger_hold_moves_within_balance"),
        ("kind = 'trade'", "ledger_one_reference"),
        ("order_id = {order}", "ledger_one_reference"),
    ],
)
def test_an_entry_has_one_reference(
    staff: int, exchange_world: World, change: str, constraint: str
) -> None:
    order = exchange_world.place(1, "buy", 1, "1.5").pk
    transfer = ask("withdrawal")
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match=constraint):
        cursor.execute(
            f"UPDATE balances_ledgerentry SET {change.format(order=order)}"
            f" WHERE transfer_id = {transfer.pk}"
        )

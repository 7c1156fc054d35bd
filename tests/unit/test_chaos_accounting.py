"""The chaos run's accounting sees what was planted: lost, changed, doubled, left undone."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.chaos.accounting import account, account_at_rest
from tests.chaos.books import Stored
from tests.chaos.journal import Journal, Rules, Sent, Told

SENT = Sent("load0-1", 7, "ADA-USDT", "buy", Decimal("1.9"), Decimal(10))
TOLD = Told(SENT, order_id=5, window=3)
STORED = Stored(
    order_id=5,
    client_order_id="load0-1",
    user_id=7,
    market="ADA-USDT",
    side="buy",
    price=Decimal("1.900000000000000000"),
    quantity=Decimal("10.000000000000000000"),
    status="partially_filled",
    filled=Decimal(4),
    traded=Decimal(4),
    holds=1,
)


def kinds(told: list[Told], stored: list[Stored]) -> list[str]:
    return [finding.kind for finding in account_at_rest(told, stored)]


def test_an_order_that_is_there_as_it_was_sent_is_no_finding() -> None:
    assert account([TOLD], [STORED]) == []
    assert account_at_rest([TOLD], [STORED]) == []


def test_an_answered_order_without_a_row_is_lost() -> None:
    (finding,) = account([TOLD], [])
    assert (finding.kind, finding.window) == ("lost", 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"user_id": 8},
        {"market": "ADA-BTC"},
        {"side": "sell"},
        {"price": Decimal("1.91")},
        {"quantity": Decimal(11)},
        {"client_order_id": "load0-2"},
        {"rules": Rules(time_in_force="ioc")},
        {"rules": Rules(self_trade_prevention="none")},
        {"order_type": "market"},
        {"quote_amount": Decimal(19)},
        {"stop_price": Decimal("1.9")},
        {"visible_quantity": Decimal(1)},
        {"expires_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"status": "rejected", "filled": Decimal(0), "traded": Decimal(0)},
    ],
)
def test_an_answered_order_that_is_another_one_now_is_lost(changed: dict[str, Any]) -> None:
    assert [f.kind for f in account([TOLD], [replace(STORED, **changed)])] == ["lost"]


def test_an_order_that_is_still_pending_at_rest_is_lost() -> None:
    pending = replace(STORED, status="pending", filled=Decimal(0), traded=Decimal(0))
    assert account([TOLD], [pending]) == []
    assert kinds([TOLD], [pending]) == ["lost"]


def test_a_cancel_that_was_accepted_and_not_done_is_lost() -> None:
    canceled = Told(SENT, order_id=5, window=3, cancel_accepted=True)
    assert kinds([canceled], [STORED]) == ["lost"]
    assert kinds([canceled], [replace(STORED, status="canceled")]) == []


def test_the_cancel_of_all_of_a_user_was_accepted_and_not_done_for_one() -> None:
    journal = Journal()
    entry = journal.accepted(SENT, 5)
    journal.cancel_of_all_accepted([entry], 1)
    assert kinds(journal.all(), [STORED]) == ["lost"]
    assert journal.cancels == 1


def test_an_order_that_rests_although_it_may_not_is_lost() -> None:
    rules = Rules(time_in_force="ioc")
    told = Told(replace(SENT, rules=rules), order_id=5, window=3)
    assert kinds([told], [replace(STORED, rules=rules)]) == ["lost"]
    assert kinds([told], [replace(STORED, rules=rules, status="canceled")]) == []


@pytest.mark.parametrize("rules", [Rules(), Rules(time_in_force="ioc")])
def test_only_an_order_that_waits_for_a_price_is_untriggered_at_rest(rules: Rules) -> None:
    stop_price = Decimal("1.95")
    told = Told(replace(SENT, rules=rules, stop_price=stop_price), order_id=5, window=3)
    waits = replace(
        STORED, rules=rules, order_type="stop_limit", stop_price=stop_price, status="untriggered",
        filled=Decimal(0), traded=Decimal(0),
    )  # fmt: skip
    assert kinds([told], [waits]) == []
    plain = replace(waits, order_type="limit", stop_price=None)
    assert kinds([Told(replace(SENT, rules=rules), order_id=5, window=3)], [plain]) == ["lost"]


@pytest.mark.parametrize(
    ("price", "stop_price", "kind"),
    [
        ("1.9", None, "limit"),
        (None, None, "market"),
        ("1.9", "2", "stop_limit"),
        (None, "2", "stop_market"),
    ],
)
def test_what_an_order_says_is_its_type(
    price: str | None, stop_price: str | None, kind: str
) -> None:
    amounts = [None if text is None else Decimal(text) for text in (price, stop_price)]
    assert replace(SENT, price=amounts[0], stop_price=amounts[1]).type == kind


def test_a_client_order_id_that_is_there_twice_is_doubled() -> None:
    assert kinds([TOLD], [STORED, replace(STORED, order_id=6)]) == ["doubled", "doubled"]


@pytest.mark.parametrize(
    "changed",
    [
        {"traded": Decimal(8)},  # a trade settled twice
        {"filled": Decimal(14), "traded": Decimal(14)},  # matched twice
        {"holds": 2},  # placed twice
    ],
)
def test_an_order_that_was_carried_out_twice_is_doubled(changed: dict[str, Any]) -> None:
    assert [f.kind for f in account([TOLD], [replace(STORED, **changed)])] == ["doubled"]


@pytest.mark.parametrize("changed", [{"traded": Decimal(3)}, {"holds": 0}])
def test_an_order_whose_trades_or_hold_are_missing_is_wrong(changed: dict[str, Any]) -> None:
    assert [f.kind for f in account([TOLD], [replace(STORED, **changed)])] == ["wrong"]


def test_an_order_that_nobody_was_told_of_is_wrong() -> None:
    assert kinds([], [STORED]) == ["wrong"]


def test_the_journal_knows_since_when_an_order_was_answered() -> None:
    journal = Journal()
    first = journal.accepted(SENT, 1)
    journal.window = 1
    second = journal.accepted(replace(SENT, client_order_id="load0-2"), 2)
    journal.window = 2
    third = journal.accepted(replace(SENT, client_order_id="load0-3"), 3)
    assert journal.since(1) == [third, second]
    assert journal.all() == [first, second, third]

"""The commands of an operator: seed, reset, create_topics, walkthrough."""

import io
import re
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.core.management import CommandError, ManagementUtility, call_command
from django.test import Client
from django_redis import get_redis_connection
from pytest_django import Settings

from balances.cache import raw_entry
from balances.models import Balance, LedgerEntry, LogEpoch
from balances.selectors import get_balances
from balances.tasks import care_for_cache
from exchange.kafka import TOPICS, Log, read_topic
from exchange.models import FEE_ACCOUNT_ID, User
from orders.models import Asset, Market
from orders.seeding import ASSETS, FUNDS, MARKETS
from tests.api import Stores
from tests.support import World, balance_of, differences, trust_cache


def run(name: str, *arguments: str, **options: Any) -> str:
    """Run a command and return what it printed."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, **options)
    return out.getvalue()


def test_seed_makes_what_the_walkthroughs_need(exchange_world: World) -> None:
    run("seed")
    assert set(Asset.objects.values_list("pk", flat=True)) == set(ASSETS)
    assert set(Market.objects.values_list("pk", flat=True)) == set(MARKETS)
    for user_id, (asset, amount) in FUNDS.items():
        assert balance_of(user_id, asset) == (str(amount), "0")
    assert differences() == []


def test_seed_again_changes_nothing(exchange_world: World) -> None:
    run("seed")
    before = Stores.look()
    again = run("seed")
    assert Stores.look() == before
    assert "admin" not in again


def test_seed_again_does_not_give_back_what_was_spent(exchange_world: World) -> None:
    exchange_world.place(1, "buy", 10, "1.9")
    run("seed")
    assert balance_of(1, "USDT") == ("981", "19")
    assert LedgerEntry.objects.filter(kind="deposit").count() == len(FUNDS)


def test_the_admin_password_is_printed_once_and_opens_the_admin(exchange_world: World) -> None:
    printed = re.search(r"admin / (\S+)", run("seed"))
    assert printed
    client = Client()
    login = {"username": "admin", "password": printed[1]}
    assert client.post("/admin/login/?next=/admin/", login)["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    user = User.objects.get(username="admin")
    assert user.is_superuser
    assert printed[1] not in user.password


def test_seeded_traders_cannot_log_in(exchange_world: World) -> None:
    assert not User.objects.get(pk=1).has_usable_password()
    assert authenticate(username="user1", password="") is None


def test_the_next_user_does_not_collide_with_the_seeded_ones(exchange_world: World) -> None:
    assert User.objects.create_user("next").pk > max(FUNDS)


def test_seed_in_bulk_can_be_repeated_and_enlarged(exchange_world: World) -> None:
    for users, markets in ((3, 2), (3, 2), (5, 3)):
        run("seed", "--users", str(users), "--markets", str(markets))
        assert User.objects.filter(username__startswith="trader").count() == users
        assert Market.objects.filter(pk__startswith="C0").count() == markets
        funded = Balance.objects.filter(user__username__startswith="trader")
        assert funded.count() == users * (len(ASSETS) + markets)
        assert set(funded.values_list("available", flat=True)) == {Decimal(1_000_000)}
    assert differences() == []


def test_reset_does_not_exist_in_production(exchange_world: World, settings: Settings) -> None:
    settings.PRODUCTION = True
    before = Stores.look()
    with pytest.raises(CommandError, match="production"):
        run("reset", "--yes")
    assert Stores.look() == before


@pytest.mark.parametrize("answer", ["", "no", "yes", "RESET", "reset "])
def test_reset_asks_and_any_other_answer_deletes_nothing(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: answer)
    before = Stores.look()
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run("reset")
    assert Stores.look() == before


def test_reset_says_what_it_is_about_to_delete(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "reset")
    said = run("reset")
    assert settings.DATABASES["default"]["NAME"] in said
    assert settings.KAFKA_BOOTSTRAP_SERVERS[0] in said
    assert list(User.objects.values_list("pk", flat=True)) == [FEE_ACCOUNT_ID]


@pytest.fixture
def used_world(exchange_world: World) -> World:
    """An exchange with orders, a trade, balances in the cache, records on every topic."""
    exchange_world.place(1, "buy", 10, "1.9")
    exchange_world.place(2, "sell", 4, "1.9")
    exchange_world.pump()
    trust_cache()
    Client().get("/balance/1")
    return exchange_world


def test_reset_leaves_nothing_anywhere(used_world: World) -> None:
    assert Stores.look().cached
    run("reset", "--yes")
    kept = {"balances_cachetrust", "exchange_user"}
    rows = {
        model._meta.db_table: model._base_manager.count()
        for name in ("orders", "balances", "exchange", "admin", "sessions")
        for model in apps.get_app_config(name).get_models()
    }
    assert {table for table, count in rows.items() if count} == kept
    assert list(User.objects.values_list("pk", flat=True)) == [FEE_ACCOUNT_ID]
    assert list(get_redis_connection("default").scan_iter("balance:[0-9]*")) == []
    assert [read_topic(topic) for topic in TOPICS] == [[], [], []]


def test_after_a_reset_everything_works_from_the_start(used_world: World) -> None:
    run("reset", "--yes")
    run("seed")
    used_world.forget_log()
    order = used_world.place(1, "buy", 10, "1.9")
    assert order.pk == 1
    used_world.place(2, "sell", 4, "1.9")
    used_world.pump()
    assert balance_of(1, "ADA") == ("4", "0")
    assert differences() == []


def test_no_epoch_number_comes_back_after_a_reset(used_world: World) -> None:
    seen = set()
    for _ in range(3):
        (epoch,) = LogEpoch.objects.values_list("number", flat=True)
        assert epoch not in seen
        seen.add(epoch)
        run("reset", "--yes")
        assert not LogEpoch.objects.exists()
        run("seed")
        used_world.restart_matching()


def test_create_topics_can_be_repeated(exchange_world: World) -> None:
    exchange_world.place(1, "buy", 1, "1.9")
    with Log() as log:
        before = log.identity(), exchange_world.order_events()
        assert "all topics exist" in run("create_topics")
        assert (log.identity(), exchange_world.order_events()) == before


def test_create_topics_makes_what_is_missing(exchange_world: World, settings: Settings) -> None:
    settings.KAFKA_TOPIC_PREFIX = f"fresh-{settings.KAFKA_TOPIC_PREFIX}"
    said = run("create_topics")
    assert [line.split()[-1] for line in said.splitlines()] == list(TOPICS)
    with Log() as log:
        log.identity()
        log.delete_topics()


def test_create_topics_says_when_the_log_is_away(exchange_world: World, settings: Settings) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = ["127.0.0.1:1"]
    with pytest.raises(CommandError, match="Kafka refused or is not reachable"):
        run("create_topics")


@pytest.mark.parametrize("command", ["walkthrough", "seed", "reset", "create_topics"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", command, "--help"]).execute()
    assert ended.value.code == 0
    assert f"usage: manage.py {command}" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["--orders-url", "--balances-url", "--matching-url", "--yes"])
def test_the_walkthrough_can_be_pointed_at_any_stack(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ManagementUtility(["manage.py", "walkthrough", "--help"]).execute()
    assert url in capsys.readouterr().out


def test_forget_cache_empties_it_and_holds_back_the_vouch(exchange_world: World) -> None:
    trust_cache()
    get_balances(user_id=1)
    assert raw_entry(1)
    assert "The balance cache is empty" in run("forget_cache")
    assert not raw_entry(1)
    assert care_for_cache() is False, "a mark may have been lost: nothing is vouched for yet"

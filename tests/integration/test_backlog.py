"""Orders may wait for Kafka and the workers, but not without end; nor may the periodic tasks."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from pytest_django import Settings

from exchange.beat import MAX_WAITING, BoundedScheduler
from exchange.bridge_status import BridgeStatus
from exchange.celery import app
from orders import backlog
from orders.models import Market, Order
from tests.api import ApiClient, refusal
from tests.support import World, differences


@pytest.fixture
def small(settings: Settings) -> Iterator[None]:
    """Three orders may wait."""
    settings.ORDERS_MAX_PENDING = 3
    backlog.forget_count()
    yield
    backlog.forget_count()


def fill(api: ApiClient) -> None:
    for number in range(3):
        assert api.order(client_order_id=f"waiting-{number}").status_code == 201


def test_a_full_backlog_refuses_new_orders_and_says_when_to_come_again(
    small: None, api: ApiClient
) -> None:
    fill(api)
    refused = api.order(client_order_id="one-more")
    assert refusal(refused) == (503, "backlog_full", None)
    assert refused["Retry-After"] == "5"
    assert Order.objects.count() == 3
    assert differences() == []


def test_a_retry_of_an_accepted_order_is_answered_however_full_it_is(
    small: None, api: ApiClient
) -> None:
    fill(api)
    assert api.order(client_order_id="waiting-1").status_code == 200


def test_once_the_backlog_is_matched_orders_are_taken_again(
    small: None, api: ApiClient, exchange_world: World
) -> None:
    fill(api)
    backlog._count.pending()  # asked just now: an answer may be a second old
    exchange_world.pump()
    backlog.forget_count()
    assert api.order().status_code == 201


def test_the_orders_of_a_halted_market_close_no_other(small: None, api: ApiClient) -> None:
    fill(api)
    Market.objects.filter(pk="ADA-USDT").update(state="halted", state_reason="stopped")
    backlog.forget_count()
    assert api.order(asset="BTC", quantity="0.01", price="100").status_code == 201


def test_the_orders_of_a_post_only_market_are_counted(small: None, api: ApiClient) -> None:
    fill(api)
    Market.objects.filter(pk="ADA-USDT").update(state="post_only", state_reason="quiet hours")
    backlog.forget_count()
    assert refusal(api.order(post_only=True)) == (503, "backlog_full", None)


def test_the_count_is_taken_once_a_second(api: ApiClient, django_assert_num_queries: Any) -> None:
    backlog.forget_count()
    backlog.require_room()
    with django_assert_num_queries(0):
        backlog.require_room()


def test_a_full_backlog_is_not_ready_and_says_why(small: None, api: ApiClient) -> None:
    statuses = [BridgeStatus(name) for name in django_settings.KAFKA_BRIDGES]
    for status in statuses:
        status.report("running", partitions=[0, 1, 2, 3])
    assert api.get("/health/ready").json()["backlog"] == {"pending": 0, "limit": 3}
    fill(api)
    answer = api.get("/health/ready")
    for status in statuses:
        status.report("stopped")
    assert answer.status_code == 503
    assert answer.json()["backlog"] == {"pending": 3, "limit": 3}
    assert answer.json()["problems"] == [
        "3 orders wait to be matched, which is the most. New ones are refused with 503."
    ]


def test_ready_says_which_worker_is_missing_and_what_follows(
    exchange_world: World, client: Client
) -> None:
    BridgeStatus("trades").report("recovering", partitions=[0])
    problems = client.get("/health/ready").json()["problems"]
    BridgeStatus("trades").report("stopped")
    assert problems == [
        "No matching worker has reported for 10 s. Orders are accepted and wait to be matched.",
        "The trades bridge is recovering. Orders are matched and wait to be settled.",
    ]


def test_periodic_tasks_do_not_pile_up_while_nobody_takes_them(
    exchange_world: World, tmp_path: Any
) -> None:
    scheduler = BoundedScheduler(app, schedule_filename=str(tmp_path / "schedule"))
    entry = scheduler.schedule["care-for-cache"]
    for _ in range(MAX_WAITING + 20):
        scheduler.apply_entry(entry, producer=scheduler.producer)
    assert scheduler._waiting() == MAX_WAITING
    scheduler.close()

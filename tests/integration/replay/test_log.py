"""What the replay says of a log that is not the one that was settled, or not all of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from balances.models import Checkpoint, LogEpoch
from exchange.kafka import (
    ORDER_EVENTS,
    Log,
    LogRecord,
    OutgoingRecord,
    Publisher,
    TopicScan,
    partition_for,
    topic_name,
)
from exchange.kafka.names import connection_settings
from matching.replay.beginning import CannotReplayError
from matching.replay.runner import Replayed, replay
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World

ADA = partition_for("ADA")
Records = list[LogRecord]


@pytest.fixture
def settled_world(exchange_world: World) -> World:
    """Orders and cancels on two partitions, all settled. The first is a buy, the second crosses."""
    world = exchange_world
    first = world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.place(2, "sell", 5, "1.95")
    world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.pump()
    world.cancel(first)
    world.pump()
    return world


def found_in(replayed: Replayed) -> dict[str, tuple[tuple[Any, ...], ...]]:
    return {outcome.name: outcome.first for outcome in replayed.outcomes if outcome.found}


def rewrite(world: World, change: Callable[[Records], Records]) -> None:
    """Put another log in the place of the one that was settled, as if nobody had noticed."""
    records = change([r for r in world.order_events() if r.partition == ADA])
    others = [r for r in world.order_events() if r.partition != ADA]
    world.close()
    with Log() as log:
        log.recreate_topics()
        publisher = Publisher()
        publisher.publish(
            [OutgoingRecord(ORDER_EVENTS, r.partition, b"", r.value) for r in [*records, *others]]
        )
        publisher.close()
        identity = log.identity()
    LogEpoch.objects.update(order_topic_id=identity.order_topic_id)


def with_fields(record: LogRecord, **fields: object) -> LogRecord:
    return record._replace(value=json.dumps(json.loads(record.value) | fields).encode())


def test_the_log_as_it_was_agrees(settled_world: World) -> None:
    rewrite(settled_world, lambda records: records)
    assert found_in(replay()) == {}


def change_quantity(records: Records) -> Records:
    return [with_fields(records[0], quantity="11"), *records[1:]]


def hide_a_part(records: Records) -> Records:
    return [with_fields(records[0], visible_quantity="5"), *records[1:]]


def change_side(records: Records) -> Records:
    return [records[0], with_fields(records[1], side="buy"), *records[2:]]


def make_unreadable(records: Records) -> Records:
    return [records[0]._replace(value=b"nonsense"), *records[1:]]


def cancel_another(records: Records) -> Records:
    sold = json.loads(records[2].value)["order_id"]
    return [*records[:-1], with_fields(records[-1], order_id=sold)]


def lose_the_cancel(records: Records) -> Records:
    return [*records[:-1], records[0]]


def change_order(records: Records) -> Records:
    return [records[1], records[0], *records[2:]]


@pytest.mark.parametrize(
    ("change", "found_by"),
    [
        (change_quantity, {"records", "trades", "books"}),
        (change_side, {"records", "trades", "books"}),
        (make_unreadable, {"orders", "trades", "books"}),
        (cancel_another, {"books"}),
        (lose_the_cancel, {"books"}),
        (change_order, {"orders", "trades"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_record_that_was_altered_is_found(
    settled_world: World, change: Callable[[Records], Records], found_by: set[str]
) -> None:
    rewrite(settled_world, change)
    assert found_in(replay()).keys() >= found_by


@pytest.mark.parametrize(
    ("change", "name"), [(change_quantity, "quantity"), (hide_a_part, "visible quantity")]
)
def test_an_altered_record_is_named_with_what_is_wrong(
    settled_world: World, change: Callable[[Records], Records], name: str
) -> None:
    rewrite(settled_world, change)
    ((partition, offset, _, problem),) = found_in(replay())["records"]
    assert (partition, offset) == (ADA, 0)
    assert problem == f"the order that was stored has another {name}"


def test_a_log_that_was_made_anew_cannot_be_compared(settled_world: World) -> None:
    settled_world.close()
    with Log() as log:
        log.recreate_topics()
    with pytest.raises(CannotReplayError, match="made anew"):
        replay()


def test_a_log_that_has_lost_its_end_cannot_be_compared(settled_world: World) -> None:
    rewrite(settled_world, lambda records: records[:2])
    with pytest.raises(CannotReplayError, match=f"partition {ADA} ends at 2"):
        replay()


def test_a_log_that_has_lost_its_beginning_is_said_to_have(
    settled_world: World, monkeypatch: pytest.MonkeyPatch, kafka_choice: str
) -> None:
    if kafka_choice == "apache":
        client = connection_settings()
        admin = KafkaAdminClient(**client)
        admin.delete_records({TopicPartition(topic_name(ORDER_EVENTS), ADA): 2})
        admin.close()
    else:  # the embedded broker cannot delete records
        monkeypatch.setattr(TopicScan, "begin_offsets", lambda _: {ADA: 2})
    with pytest.raises(CannotReplayError, match=f"partition {ADA} begins at 2, and is needed from"):
        replay()


def test_before_the_first_log_there_is_nothing_to_compare(exchange_world: World) -> None:
    with pytest.raises(CannotReplayError, match="No log has been begun yet"):
        replay()


def test_what_is_not_settled_yet_is_not_looked_at(settled_world: World) -> None:
    random_flow(settled_world, seed=1, count=10)
    settled_world.match()
    stretches = {stretch.partition: stretch for stretch in replay().stretches}
    assert stretches[ADA].last == Checkpoint.objects.get(pk=ADA).offset == 3
    assert found_in(replay()) == {}


def test_a_long_log_is_read_in_pieces(
    settled_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.kafka.scan.PIECE", 2)
    with TopicScan(ORDER_EVENTS) as scan:
        pieces = list(scan.read(ADA, 1, 3))
    assert [[record.offset for record in piece] for piece in pieces] == [[1, 2], [3]]
    assert found_in(replay()) == {}

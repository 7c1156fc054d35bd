"""The results of a batch go onto the log in pieces: a slow broker gets to the end of them."""

from collections.abc import Sequence

import pytest

from exchange.kafka import LogError, OutgoingRecord, Publisher
from exchange.records import decode_trade_event
from matching import host
from matching.host import MatchingHost
from tests.support import World, differences


class FailingOnce(Publisher):
    """A publisher whose second call finds the log away."""

    calls = 0

    def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self.calls += 1
        if self.calls == 2:
            raise LogError("away")
        super().publish(records)


def test_what_a_batch_has_published_before_it_failed_is_not_published_again(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    monkeypatch.setattr(host, "PIECE_BYTES", 500)  # a result or two
    publisher = FailingOnce()
    world.host = MatchingHost(publisher)
    world.host.begin({0, 1, 2, 3})
    for _ in range(6):
        world.place(1, "buy", 1, "1.9")
    events = world.order_events()
    with pytest.raises(LogError):
        world.host.match(events)
    assert 0 < len(world.trade_events()) < 6

    world.host.match(events)
    assert publisher.calls > 3
    offsets = [decode_trade_event(record.value).offset for record in world.trade_events()]
    assert offsets == [record.offset for record in events]
    world.settle()
    assert differences() == []

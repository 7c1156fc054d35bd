"""Publishes random records of a topic once more, byte for byte. A process of its own.

    python -m tests.chaos.redeliver TOPIC COUNT SEED

Runs with the environment of the stack. Each record goes to its own partition, as a producer that
repeats itself would do it; prints how many there were.
"""

import random
import sys

from exchange.kafka import LogError, OutgoingRecord, Publisher, read_topic

ATTEMPTS = 5
"""A broker that has lost its data gives out its producer ids from the beginning, so a new producer
may be taken for an older one that is still there. The next attempt has another id."""


def redeliver(topic: str, *, count: int, seed: str) -> int:
    """Publish up to `count` records of `topic` again, in the order of the log."""
    records = read_topic(topic)
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    _publish(
        [
            OutgoingRecord(topic, record.partition, str(record.partition).encode(), record.value)
            for record in sorted(chosen)
        ]
    )
    return len(chosen)


def _publish(records: list[OutgoingRecord]) -> None:
    publisher = Publisher()
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                publisher.publish(records)
            except LogError:
                if attempt == ATTEMPTS:
                    raise
            else:
                return
    finally:
        publisher.close()


if __name__ == "__main__":
    print(redeliver(sys.argv[1], count=int(sys.argv[2]), seed=sys.argv[3]))

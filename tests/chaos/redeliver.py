"""Publishes random records of a topic once more, byte for byte. A process of its own.

    python -m tests.chaos.redeliver TOPIC COUNT SEED

Runs with the environment of the stack. Each record goes to its own partition, as a producer that
repeats itself would do it; prints how many there were.
"""

import random
import sys

from exchange.kafka import OutgoingRecord, Publisher, read_topic


def redeliver(topic: str, *, count: int, seed: str) -> int:
    """Publish up to `count` records of `topic` again, in the order of the log."""
    records = read_topic(topic)
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    publisher = Publisher()
    try:
        publisher.publish(
            [
                OutgoingRecord(
                    topic, record.partition, str(record.partition).encode(), record.value
                )
                for record in sorted(chosen)
            ]
        )
    finally:
        publisher.close()
    return len(chosen)


if __name__ == "__main__":
    print(redeliver(sys.argv[1], count=int(sys.argv[2]), seed=sys.argv[3]))

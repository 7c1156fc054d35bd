"""The whole system, every process running, started once for all e2e tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.addresses import LOCAL
from exchange.stack.servers import KafkaChoice
from exchange.stack.stack import Stack
from tests.e2e.client import Exchange
from tests.plugin import DATA, WORKER


@pytest.fixture(scope="session")
def stack(kafka_choice: KafkaChoice) -> Iterator[Stack]:
    """Every server and process, on throw-away data and free ports."""
    with Stack(
        data_dir=DATA / "e2e",
        run_dir=LOCAL / "tests" / f"e2e{WORKER}",
        kafka=kafka_choice,
        durable=False,
        fresh=True,
        seed=True,
    ) as running:
        yield running


@pytest.fixture
def exchange(stack: Stack, tmp_path: Path) -> Exchange:
    """The running system, reset and seeded."""
    running = Exchange(stack, output=tmp_path / "commands.log")
    running.reset()
    return running

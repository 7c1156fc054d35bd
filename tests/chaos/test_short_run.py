"""The chaos run in short: each fault once, on the whole system."""

from pathlib import Path

import pytest

from exchange.addresses import LOCAL
from exchange.stack.servers import KafkaChoice
from tests.chaos.run import Options, Run

SEED = 20
LIMIT_SECONDS = 90.0
"""Of a recovery: the machine that runs all tests may have other things to do. What is promised is
asked by `make chaos`."""
TAIL = 60
"""Lines of each worker's log that a failure shows."""


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_every_fault_once(kafka_choice: KafkaChoice) -> None:
    base_dir = LOCAL / "tests" / "chaos"
    options = Options(
        seed=SEED, times=1, base_dir=base_dir, kafka=kafka_choice, load=20,
        limit_seconds=LIMIT_SECONDS,
    )  # fmt: skip

    report = Run(options, tell=print).execute()

    if report.violations:  # whoever reads this may not have the machine it ran on
        for log in sorted(Path(report.logs).glob("*worker*.log")):
            print(log.name, *log.read_text(errors="replace").splitlines()[-TAIL:], sep="\n")
    assert report.violations == [], f"seed {SEED}; the logs are in {report.logs}"
    assert [one.fault for one in report.injections if one.recovery_seconds is None] == []
    assert len(report.injections) == len(options.possible())
    assert report.orders > 0
    assert report.balance_reads["cache"] > 0

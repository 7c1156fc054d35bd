"""Every operation, with data that the schema allows and data that it forbids, from every caller.

All phases of schemathesis: the examples, each bound of each field, random data, and sequences of
requests that use what earlier ones answered. The same cases in every run.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import StopReason, events, from_schema

from balances.models import Trade
from orders import outbox
from tests.integration.fuzz import checks
from tests.integration.fuzz.callers import CALLERS, Application
from tests.support import World, differences

SEED = 20_261_125
EXAMPLES = 20
"""Random cases of each kind for each operation; the bounds of the fields come on top."""
REFUSALS = ["400", "401", "403", "404", "405", "411", "413", "414", "415", "422"]

pytestmark = pytest.mark.timeout(600)


def configuration(*, made_up_credentials: bool) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "workers": 1,
            "continue-on-failure": True,
            "generation": {
                "deterministic": True,
                "database": "none",
                "max-examples": EXAMPLES,
                "with-security-parameters": made_up_credentials,
            },
            "checks": {
                "negative_data_rejection": {"expected-statuses": REFUSALS},
                # Does not know codes: `valid_data_is_not_malformed` does.
                "positive_data_acceptance": {"enabled": False},
                # Takes the credentials away, which are added behind it: see access/test_doors.py.
                "ignored_auth": {"enabled": False},
                # To delete an order is to cancel it; it is there to look at ever after.
                "use_after_free": {"enabled": False},
            },
            "operations": [
                *(
                    {
                        # A wrong element is refused by its own result: see test_order_batches.py.
                        "include-path": path,
                        "checks": {"negative_data_rejection": {"enabled": False}},
                    }
                    for path in ("/orders/batch", "/orders/batch/cancel")
                ),
                {
                    # No worker runs here, which is what this operation is there to say.
                    "include-path": checks.READY,
                    "checks": {"not_a_server_error": {"expected-statuses": ["200", "4xx", "503"]}},
                },
            ],
        }
    )


def schema_of_all_services() -> dict[str, Any]:
    """Return the schema as it is served."""
    generator = SchemaGenerator(urlconf="exchange.urls.all")  # type: ignore[no-untyped-call]
    generated = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    plain: dict[str, Any] = json.loads(json.dumps(generated, default=str))
    return plain


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def application(caller: str, exchange_world: World, settings: Settings) -> Iterator[Application]:
    settings.DEMO = caller == "demo"
    # Who buys any of it, at any price, has a fill; and a part of each page is there from the start.
    exchange_world.place(2, "sell", 400, "0.0001")
    exchange_world.place(1, "buy", 1, "0.0001")
    exchange_world.place(1, "buy", 1, "0.01", market="ETH-USDT")

    def work() -> None:
        outbox.flush()
        exchange_world.pump()

    work()
    made = Application(CALLERS[caller](), work)
    yield made
    made.close()


def test_every_answer_is_in_the_schema(
    application: Application, exchange_world: World, caller: str
) -> None:
    schema = schemathesis.openapi.from_dict(
        schema_of_all_services(),
        config=configuration(made_up_credentials=caller == "nobody"),
    )
    schema.app = application
    found: list[str] = []
    for event in from_schema(schema).execute():
        found += failures_of(event)
    assert found == []
    assert application.requests > 500

    application.work()
    assert differences() == []
    if caller in ("user", "key", "demo"):
        assert Trade.objects.count() > 3  # one was there before


def failures_of(event: events.EngineEvent) -> list[str]:
    """Return what an event says has gone wrong, with a command that sends the case again."""
    if isinstance(event, events.ScenarioFinished):
        return [
            f"{event.phase.value}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
            for of_case in event.recorder.checks.values()
            for check in of_case
            if check.failure_info is not None
        ]
    if isinstance(event, events.NonFatalError):
        return [f"{event.label}: {event.value!r}"]
    if isinstance(event, events.FatalError):
        return [repr(event.exception)]
    if isinstance(event, events.EngineFinished) and event.stop_reason != StopReason.COMPLETED:
        return [f"stopped: {event.stop_reason}"]
    return []

"""`/dead-man-switch`: armed, renewed, looked at and disarmed over HTTP."""

import json
from datetime import datetime
from typing import Any

import pytest

from orders import dead_man
from orders.models import DeadManSwitch
from tests.api import ApiClient, Stores, refusal
from tests.integration.pipeline.test_dead_man import let_expire

NEVER = {
    "user_id": 1, "armed": False, "timeout_seconds": None, "expires_at": None, "fired_at": None,
    "canceling": False,
}  # fmt: skip


def put(api: ApiClient, **body: Any) -> Any:
    return api.put("/dead-man-switch", json.dumps(body), content_type="application/json")


def test_it_is_armed_renewed_and_disarmed(api: ApiClient) -> None:
    look = "/dead-man-switch?user_id=1"
    assert api.get(look).json() == NEVER
    armed = put(api, user_id=1, timeout_seconds=60)
    assert armed.status_code == 200
    assert armed.json() == api.get(look).json()
    assert armed.json() | {"expires_at": None} == NEVER | {"armed": True, "timeout_seconds": 60}
    renewed = put(api, user_id=1, timeout_seconds=60).json()
    moments = [datetime.fromisoformat(one["expires_at"]) for one in (armed.json(), renewed)]
    assert moments[0] < moments[1]
    assert api.delete(look).json() == api.get(look).json() == NEVER
    assert api.delete(look).status_code == 200, "twice is harmless"


def test_it_describes_itself(api: ApiClient) -> None:
    described = api.options("/dead-man-switch").json()
    assert set(described["actions"]["PUT"]) == {"user_id", "timeout_seconds"}


def test_zero_disarms(api: ApiClient) -> None:
    put(api, user_id=1, timeout_seconds=60)
    assert put(api, user_id=1, timeout_seconds=0).json() == NEVER
    assert put(api, user_id=2, timeout_seconds=0).json() == NEVER | {"user_id": 2}


def test_it_says_that_it_has_fired(api: ApiClient) -> None:
    put(api, user_id=1, timeout_seconds=60)
    let_expire()
    dead_man.run()
    said = api.get("/dead-man-switch?user_id=1").json()
    assert said | {"fired_at": None} == NEVER | {"canceling": True}
    assert datetime.fromisoformat(said["fired_at"])


def test_each_user_has_one(api: ApiClient) -> None:
    put(api, user_id=1, timeout_seconds=5)
    put(api, user_id=2, timeout_seconds=86_400)
    assert list(DeadManSwitch.objects.values_list("user_id", "timeout_seconds")) == [
        (1, 5), (2, 86_400),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"user_id": 1}, (400, "required", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": None}, (400, "required", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": 4}, (400, "too_small", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": -1}, (400, "too_small", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": 86_401}, (400, "too_large", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": 5.5}, (400, "invalid", "timeout_seconds")),
        ({"user_id": 1, "timeout_seconds": True}, (400, "invalid", "timeout_seconds")),
        ({"user_id": "x", "timeout_seconds": 5}, (400, "invalid", "user_id")),
        ({"timeout_seconds": 5}, (400, "required", "user_id")),
        ({"user_id": 99, "timeout_seconds": 5}, (422, "unknown_user", "user_id")),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: ApiClient, body: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    before = Stores.look()
    assert refusal(put(api, **body)) == expected
    assert Stores.look() == before

"""Is this service alive, and is the system behind it ready?

`live` asks nothing of anybody: the process answers. `ready` names each dependency and each bridge
with its state and lag, and is 503 when an order placed now would not be accepted or settled (in
a market that is not halted).

Everybody may ask, so a process asks the stores once a second at most, and the answer must name no
host and repeat no error: these are for operators, without secrets.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django_redis import get_redis_connection
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.bridge_status import STALE_SECONDS, BridgeReport, bridge_reports
from exchange.kafka import reachable
from exchange.postgres import patience
from exchange.redaction import redactor
from orders.backlog import count_pending

POSTGRES_SECONDS = 2.0
"""How long Postgres may take to say anything."""
KEEP_SECONDS = 1.0
"""For so long an answer is given again."""
OF_USE_SECONDS = 10.0
"""Older than that, and it says nothing any more: who comes while somebody asks waits, too."""


class LiveAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["alive"])


class DependencyState(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "failing"])
    error = serializers.CharField(required=False)


class BridgeState(serializers.Serializer[Any]):
    bridge = serializers.CharField()
    pid = serializers.IntegerField()
    state = serializers.CharField()
    partitions = serializers.ListField(child=serializers.IntegerField())
    lag = serializers.DictField(child=serializers.IntegerField())
    error = serializers.CharField(allow_blank=True, help_text="Of what kind it is, if any.")


class BacklogState(serializers.Serializer[Any]):
    pending = serializers.IntegerField(
        allow_null=True, help_text="Orders not matched yet, counted up to the limit; null: unknown."
    )
    limit = serializers.IntegerField(help_text="With so many pending, new ones are refused.")


class ReadyAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ready", "not_ready"])
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="Why it is not ready, and what follows from that."
    )
    dependencies = serializers.DictField(child=DependencyState())
    bridges = BridgeState(many=True)
    missing_bridges = serializers.ListField(child=serializers.CharField())
    unread_partitions = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField()),
        help_text="By bridge: the partitions that none of its running workers reads.",
    )
    backlog = BacklogState()


class LiveView(APIView):
    """Whether this process answers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(summary="Is the process alive?", responses=LiveAnswer, tags=["health"])
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"status": "alive"})


class ReadyView(APIView):
    """Whether an order placed now would be accepted, matched and settled."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        summary="Is the system ready?",
        responses={200: ReadyAnswer, 503: ReadyAnswer},
        tags=["health"],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        body = readiness(with_details=False)
        return Response(body, status=200 if body["status"] == "ready" else 503)


class LastAnswer:
    """What `look` found out, for `KEEP_SECONDS`. One asks at a time; who comes meanwhile does not
    wait, but gets what was found out before."""

    def __init__(self, look: Callable[[], dict[str, Any]]) -> None:
        self._look = look
        self._asking = threading.Lock()
        self._found: tuple[dict[str, Any] | None, float] = None, 0.0

    def get(self) -> dict[str, Any]:
        """Return what is known, or find it out. Not to be changed by whoever gets it."""
        found, found_at = self._found
        age = time.monotonic() - found_at
        if found is not None and age < KEEP_SECONDS:
            return found
        is_of_use = found is not None and age < OF_USE_SECONDS
        if not self._asking.acquire(blocking=not is_of_use):
            assert found is not None
            return found
        try:
            found, found_at = self._found  # somebody else may have asked meanwhile
            if found is None or time.monotonic() - found_at >= KEEP_SECONDS:
                found = self._look()
                self._found = found, time.monotonic()
            return found
        finally:
            self._asking.release()


def readiness(*, with_details: bool) -> dict[str, Any]:
    """Return how every dependency and every bridge is: as of a second ago at most, or, while
    somebody is finding that out, as of the time before.

    `with_details`: hosts, and errors in their own words, for operators; else only their kinds.
    """
    found = _last_answer.get()
    if with_details:
        return found
    return {
        **found,
        "dependencies": {
            name: {**state, "error": _kind(state["error"])} if "error" in state else state
            for name, state in found["dependencies"].items()
        },
        "bridges": [
            {name: value for name, value in bridge.items() if name != "host"}
            | {"error": _kind(bridge["error"])}
            for bridge in found["bridges"]
        ],
    }


def _look() -> dict[str, Any]:
    """Ask every dependency and look at every bridge's last report."""
    dependencies = {
        "postgres": _state(_ask_postgres),
        "redis": _state(lambda: get_redis_connection("default").ping()),
        "kafka": _state(reachable),
    }
    reports: list[BridgeReport] = []

    def ask_bridges() -> None:
        reports.extend(report for report in bridge_reports() if not report.is_stale)

    if dependencies["redis"]["status"] == "ok":
        # The reports lie in another database than the cache, which may fail by itself.
        dependencies["redis"] = _state(ask_bridges)
    running = {report.bridge for report in reports if report.state == "running"}
    missing = [name for name in settings.KAFKA_BRIDGES if name not in running]
    unread = _unread_partitions(reports)
    backlog = _backlog(dependencies["postgres"])
    problems = [
        *_problems(dependencies, [name for name in missing if name not in NOT_NEEDED], reports),
        *_partition_problems({n: unread[n] for n in unread if n not in NOT_NEEDED}),
        *_backlog_problems(backlog),
    ]
    return {
        "status": "not_ready" if problems else "ready",
        "problems": problems,
        "dependencies": dependencies,
        "bridges": [
            {
                "bridge": report.bridge,
                "host": report.host,
                "pid": report.pid,
                "state": report.state,
                "partitions": list(report.partitions),
                "lag": report.lag,
                "error": redactor.text(report.error),
            }
            for report in reports
        ],
        "missing_bridges": missing,
        "unread_partitions": unread,
        "backlog": backlog,
    }


_last_answer = LastAnswer(_look)

_WITHOUT = {
    "postgres": "No order is accepted and no balance is answered.",
    "redis": "Balances come from the database. Nothing is known of the bridges.",
    "kafka": "Orders are accepted and wait until it is back.",
    "matching": "Orders are accepted and wait to be matched.",
    "trades": "Orders are matched and wait to be settled.",
    "market-data": "Candles and tickers stand still.",
}
"""What follows from the absence of each part."""
NOT_NEEDED = {"market-data"}
"""Bridges without which orders are accepted, matched and settled all the same."""


def _problems(
    dependencies: dict[str, dict[str, str]], missing: list[str], reports: list[BridgeReport]
) -> list[str]:
    found = [
        f"{name} does not answer. {_WITHOUT[name]}"
        for name, state in dependencies.items()
        if state["status"] != "ok"
    ]
    if dependencies["redis"]["status"] == "ok":
        states = {name: sorted({r.state for r in reports if r.bridge == name}) for name in missing}
        found += [
            f"The {name} bridge is {', '.join(states[name])}. {_WITHOUT[name]}"
            if states[name]
            else f"No {name} worker has reported for {STALE_SECONDS:g} s. {_WITHOUT[name]}"
            for name in missing
        ]
    return found


def _unread_partitions(reports: list[BridgeReport]) -> dict[str, list[int]]:
    """Return, for each bridge that runs somewhere, the partitions that no running one has."""
    read: dict[str, set[int]] = {}
    for report in reports:
        if report.state == "running":
            read.setdefault(report.bridge, set()).update(report.partitions)
    every = set(range(settings.KAFKA_PARTITIONS))
    return {name: sorted(every - has) for name, has in sorted(read.items()) if every - has}


def _partition_problems(unread: dict[str, list[int]]) -> list[str]:
    return [
        f"No running {name} worker reads partition {', '.join(map(str, numbers))}. {_WITHOUT[name]}"
        for name, numbers in unread.items()
    ]


def _backlog(postgres: dict[str, str]) -> dict[str, int | None]:
    pending = None
    if postgres["status"] == "ok":
        with suppress(DatabaseError, InterfaceError):  # gone since it was asked a moment ago
            pending = count_pending()
    return {"pending": pending, "limit": settings.ORDERS_MAX_PENDING}


def _backlog_problems(backlog: dict[str, int | None]) -> list[str]:
    pending, limit = backlog["pending"], backlog["limit"]
    if pending is None or limit is None or pending < limit:
        return []
    return [f"{limit} orders wait to be matched, which is the most. New ones are refused with 503."]


def _kind(error: str) -> str:
    """Return the type of an error, without its words: they may name addresses and balances."""
    kind = error.partition("(")[0].partition(":")[0]
    return kind if not kind or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", kind) else "Error"


def _state(ask: Callable[[], object]) -> dict[str, str]:
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer says so
        return {"status": "failing", "error": redactor.text(f"{type(error).__name__}: {error}")}
    return {"status": "ok"}


def _ask_postgres() -> None:
    with patience(POSTGRES_SECONDS), connection.cursor() as cursor:
        cursor.execute("SELECT 1")

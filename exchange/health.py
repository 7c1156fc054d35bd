"""Is this service alive, and is the system behind it ready?

`live` asks nothing of anybody: the process answers. `ready` names each dependency and each bridge
with its state and lag, and is 503 when an order placed now would not be accepted or settled (in
a market that is not halted).
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django_redis import get_redis_connection
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.bridge_status import BridgeReport, bridge_reports
from exchange.kafka import reachable


class LiveAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["alive"])


class DependencyState(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "failing"])
    error = serializers.CharField(required=False)


class BridgeState(serializers.Serializer[Any]):
    bridge = serializers.CharField()
    host = serializers.CharField()
    pid = serializers.IntegerField()
    state = serializers.CharField()
    partitions = serializers.ListField(child=serializers.IntegerField())
    lag = serializers.DictField(child=serializers.IntegerField())
    error = serializers.CharField(allow_blank=True)


class ReadyAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ready", "not_ready"])
    dependencies = serializers.DictField(child=DependencyState())
    bridges = BridgeState(many=True)
    missing_bridges = serializers.ListField(child=serializers.CharField())


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
        body = readiness()
        return Response(body, status=200 if body["status"] == "ready" else 503)


def readiness() -> dict[str, Any]:
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
    failing = [state for state in dependencies.values() if state["status"] != "ok"]
    return {
        "status": "not_ready" if missing or failing else "ready",
        "dependencies": dependencies,
        "bridges": [
            {
                "bridge": report.bridge,
                "host": report.host,
                "pid": report.pid,
                "state": report.state,
                "partitions": list(report.partitions),
                "lag": report.lag,
                "error": report.error,
            }
            for report in reports
        ],
        "missing_bridges": missing,
    }


def _state(ask: Callable[[], object]) -> dict[str, str]:
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer says so
        return {"status": "failing", "error": f"{type(error).__name__}: {error}"}
    return {"status": "ok"}


def _ask_postgres() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")

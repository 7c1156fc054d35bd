"""`manage.py check_bridge NAME`: is this machine's bridge alive and reading? For health checks."""

import socket
from collections.abc import Iterable
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.bridge_status import STALE_SECONDS, BridgeReport, bridge_reports

GOOD_STATES = ("running", "idle")
"""Idle: there are more workers than partitions, and this one has none. It takes over at once."""


class Command(BaseCommand):
    help = (
        "Exit 0 if the bridge of this name on this machine has reported within "
        f"{STALE_SECONDS:g} s and is in a good state, else 1 with a sentence that says what is "
        "wrong."
    )
    requires_system_checks = []  # it runs every few seconds

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bridge", choices=sorted(settings.KAFKA_BRIDGES))

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            reports = bridge_reports()
        except redis.RedisError as error:
            raise CommandError(
                f"Redis does not answer, so nothing is known of any bridge: {error}"
            ) from error
        host = socket.gethostname()
        problem = problem_with(options["bridge"], host, reports)
        if problem is not None:
            raise CommandError(problem)
        self.stdout.write(f"The {options['bridge']} bridge of {host} is well.")


def problem_with(bridge: str, host: str, reports: Iterable[BridgeReport]) -> str | None:
    """Return what is wrong with the bridge on `host`, as a sentence, or None.

    Of several reports the newest counts: the older ones are of processes that have ended.
    """
    own = [report for report in reports if (report.bridge, report.host) == (bridge, host)]
    if not own:
        return f"No {bridge} bridge on {host} has reported: the worker does not run, or hangs."
    newest = max(own, key=lambda report: report.reported_at)
    if newest.is_stale:
        return f"The {bridge} bridge on {host} has not reported for more than {STALE_SECONDS:g} s."
    if newest.state not in GOOD_STATES:
        error = f": {newest.error}" if newest.error else "."
        return f"The {bridge} bridge on {host} is {newest.state}{error}"
    return None

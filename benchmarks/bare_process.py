"""The service of bare views (`benchmarks.bare`) as a process of a stack, and its database."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from exchange.stack.processes import Process, exchange_processes


def bare_process(service: str, port: int) -> Process:
    """Return a web service with these views on `port`, run as that service of the exchange is."""
    like = next(p for p in exchange_processes(schedule=Path(os.devnull)) if p.name == service)
    bind = next(part for part in like.argv if part.startswith("127.0.0.1:"))
    argv = tuple(f"127.0.0.1:{port}" if part == bind else part for part in like.argv)
    return replace(
        like, name="bare", argv=argv, port=port,
        environment={
            **like.environment,
            "PROCESS_NAME": "bare",
            "DJANGO_SETTINGS_MODULE": "benchmarks.bare_settings",
        },
    )  # fmt: skip


def make_bare_database(environment: Mapping[str, str], *, users: int) -> None:
    """Make the database of these views, beside that of the exchange, with as many users."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bare")
    for command in (["migrate"], ["seed", "--users", str(users)]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            env={**environment, "DJANGO_SETTINGS_MODULE": "benchmarks.bare_settings"},
            stdout=subprocess.DEVNULL,
            check=True,
        )

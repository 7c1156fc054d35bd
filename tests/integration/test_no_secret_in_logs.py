"""Each kind of process logs errors that carry secrets; what it writes carries none of them.

The processes are the real ones, by their real commands, without servers. An error is planted in
each from outside: Python runs `sitecustomize` in every process that has it on its path.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exchange.embedded.ports import free_port
from exchange.stack.processes import Process, exchange_processes

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "pl4nted-s3cret"
DONE = "the-planted-errors-are-logged"
SITECUSTOMIZE = f"""
import logging, os, sys, threading, time
def plant():
    for _ in range(600):
        settings = sys.modules.get("exchange.settings")
        if hasattr(settings, "TRUSTED_PROXIES") and logging.getLogger().handlers:
            break
        time.sleep(0.1)
    else:
        return
    for name in ("django.request", "celery.worker", "gunicorn.error", "orders.outbox", ""):
        log = logging.getLogger(name)
        try:
            raise RuntimeError("connection failed: postgres://exchange:{SECRET}@db/x host=h password={SECRET}")
        except RuntimeError:
            log.error("asked %s", {{"Authorization": "HMAC {SECRET}"}}, exc_info=True)
        log.error("Cookie: sessionid={SECRET}; api_key={SECRET}")
        log.error("the key is {SECRET}")
    logging.getLogger("django.request").error("{DONE}")
    def uncaught():
        raise RuntimeError("redis://:{SECRET}@h is away")
    threading.Thread(target=uncaught).start()
def begin():
    threading.Thread(target=plant, daemon=True).start()
begin()
os.register_at_fork(after_in_child=begin)  # gunicorn's workers
"""
PROCESSES = exchange_processes(
    ports={name: free_port() for name in ("balances", "orders", "matching")},
    schedule=Path("/nowhere/beat"),
)


def environment(site: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(site),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SECRET_KEY": SECRET,
        "DATABASE_URL": f"postgres://exchange:{SECRET}@127.0.0.1:1/exchange",
        "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        **more,
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return tmp_path


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "process", [PROCESSES[1], PROCESSES[3], PROCESSES[4], PROCESSES[5]], ids=lambda p: p.name
)
def test_a_process_logs_its_errors_without_their_secrets(
    process: Process, log_format: str, site: Path
) -> None:
    executable = str(Path(sys.executable).with_name(process.argv[0]))
    output = site / "output"
    with output.open("wb") as out:
        running = subprocess.Popen(
            [executable, *process.argv[1:]],
            cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment(site, LOG_FORMAT=log_format, **process.environment),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while "is away" not in (text := output.read_text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()

    assert DONE in text
    assert text.count("connection failed: postgres://exchange:***@db/x") >= 5
    assert SECRET not in text


def test_a_command_that_fails_prints_no_secret(site: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import django; django.setup(); raise RuntimeError(open('/dev/stdin').read())"],
        input=f"could not connect: redis://:{SECRET}@h", cwd=PROJECT, capture_output=True, text=True,
        env=environment(site, DJANGO_SETTINGS_MODULE="exchange.settings"), timeout=60, check=False,
    )  # fmt: skip

    assert ran.returncode == 1
    assert "RuntimeError: could not connect: redis://:***@h" in ran.stderr
    assert SECRET not in ran.stderr + ran.stdout

"""Which processes the exchange consists of, as data.

The one place that says how each is started: the supervisor's configuration is made from it, and
docker-compose.yml is compared with it. Starts nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

WEB_PORTS: Mapping[str, int] = MappingProxyType(
    {"balances": 5001, "orders": 5002, "matching": 5003}
)
"""The web services and their usual ports."""
WEB_WORKERS: Mapping[str, int] = MappingProxyType({"balances": 1, "orders": 2, "matching": 1})
WEB_THREADS = 8
METRICS_PORTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "balances": (5101,),
        "orders": (5102, 5103),
        "matching": (5104,),
        "matching-worker": (5105,),
        "trades-worker": (5106,),
        "market-data-worker": (5107,),
        "beat": (5108,),
    }
)
"""Where each process of the operating system says what it has counted."""
STOP_SECONDS = 15
"""How long a process may take to finish what it has begun before it is killed."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process: its name for logs and supervisor, its command, its part of the environment.

    `port` is the one on which it answers HTTP, `bridge` the name of what feeds it from Kafka;
    None for those that have none. One that ends within `start_seconds` counts as not started, and
    the supervisor waits longer before each further attempt.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    health_path: str = "/health/live"
    bridge: str | None = None
    start_seconds: int = 5


def exchange_processes(
    *,
    ports: Mapping[str, int] = WEB_PORTS,
    metrics_ports: Mapping[str, Sequence[int]] = METRICS_PORTS,
    bind: str = "127.0.0.1",
    schedule: Path,
) -> tuple[Process, ...]:
    """Return every process of the exchange, in the order in which they are started.

    `ports` has the port of each web service, `metrics_ports` those of each process by its name,
    `schedule` is the file in which beat notes what it has sent.
    """
    web = [_web(service, port=ports[service], bind=bind) for service in WEB_PORTS]
    return tuple(
        _with_metrics(process, metrics_ports[process.name], bind)
        for process in (*web, *_workers(), _beat(schedule))
    )


def _with_metrics(process: Process, ports: Sequence[int], bind: str) -> Process:
    given = {"METRICS_BIND": bind, "METRICS_PORTS": ",".join(map(str, ports))}
    return replace(process, environment={**process.environment, **given})


def _web(service: str, *, port: int, bind: str) -> Process:
    return Process(
        name=service,
        argv=(
            *("gunicorn", "exchange.wsgi", "--bind", f"{bind}:{port}"),
            *("--worker-class", "gthread", "--threads", str(WEB_THREADS)),
            *("--workers", str(WEB_WORKERS[service])),
            # What Django bounds is the rest: exchange/request_bounds.py.
            *("--limit-request-line", "4094", "--limit-request-fields", "50"),
            *("--limit-request-field_size", "8190"),
            *("--timeout", "30", "--keep-alive", "5"),
            *("--graceful-timeout", str(STOP_SECONDS - 5)),
            # Nobody: by default it lets whoever is on loopback say that a request came over TLS, or
            # under another path. What a proxy says is for Django to read, with TRUSTED_PROXIES.
            "--forwarded-allow-ips=",
            *("--logger-class", "exchange.gunicorn_log.RedactingLogger"),
            "--no-control-socket",  # it would be the same file for all three
        ),
        environment={"PROCESS_NAME": service, "EXCHANGE_SERVICE": service},
        port=port,
    )


def _workers() -> tuple[Process, ...]:
    return (
        _worker("matching", "--pool", "solo", "-Q", "matching"),
        _worker("trades", "--pool", "threads", "--concurrency", "2", "-Q", "periodic"),
        _worker("market-data", "--pool", "solo", "-Q", "market-data"),
    )


def _worker(bridge: str, *options: str) -> Process:
    return Process(
        name=f"{bridge}-worker",
        argv=(
            *("celery", "-A", "exchange", "worker", "--bridge", bridge, *options),
            *("-n", f"{bridge}@%h", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        ),
        environment={"PROCESS_NAME": f"{bridge}-worker"},
        bridge=bridge,
    )


def _beat(schedule: Path) -> Process:
    return Process(
        name="beat",
        argv=(
            *("celery", "-A", "exchange", "beat", "-s", str(schedule)),
            *("--loglevel", "INFO", "--pidfile="),  # no file that a crash leaves behind
        ),
        environment={"PROCESS_NAME": "beat"},
    )

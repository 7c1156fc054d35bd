"""docker-compose.yml, Dockerfile and .env.example say what is really there.

There is no Docker engine where the tests run, so nothing is started: every name and command is
compared with the code that it refers to.
"""

import ast
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import environ
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from exchange.addresses import USUAL
from exchange.bridge_status import STALE_SECONDS, BridgeReport
from exchange.embedded.apache_kafka import version as kafka_version
from exchange.management.commands.check_bridge import problem_with
from exchange.stack.processes import STOP_SECONDS, Process, exchange_processes

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
PROCESSES = exchange_processes(bind="0.0.0.0", schedule=Path("/tmp/beat.schedule"))
SERVERS = ("postgres", "redis", "kafka")
OURS = {name: service for name, service in SERVICES.items() if name not in SERVERS}
IMAGE_VARIABLES = re.compile(r"POSTGRES_(USER|PASSWORD|DB|INITDB_ARGS)|KAFKA_[A-Z_]+")
"""What the official images read; Kafka's is any broker property, dots as underscores."""
NOT_SETTINGS = {"PROCESS_NAME", "BALANCES_URL", "ORDERS_URL", "MATCHING_URL"}
"""Read elsewhere: by the logs, and by `manage.py walkthrough`."""
USES_LEFT_OUT = re.compile(r"^\s*(from|import) exchange\.(embedded|stack)\b", re.MULTILINE)
INTERPOLATED = re.compile(r"\$\{([A-Z_]+)")


def settings_variables() -> dict[str, Any]:
    """Return each environment variable that the settings read, and its default where it is plain.

    The default of one that depends on another setting is the `ast` node itself.
    """
    found: dict[str, Any] = {}
    for path in (PROJECT / "exchange" / "settings").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.args[0]
            called = ast.unparse(node.func)
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                continue
            if called == "address":
                found[name.value] = USUAL[name.value]
            elif called.startswith("env."):
                for keyword in node.keywords:
                    if keyword.arg == "default":
                        found[name.value] = _plain(keyword.value)
                found.setdefault(name.value, None)
    return found


def _plain(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return node


def env_example() -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that .env.example sets, and those that it shows commented out."""
    given: dict[str, str] = {}
    shown: dict[str, str] = {}
    for line in (PROJECT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"(#?)([A-Z_]+)=(.*)", line):
            (shown if match[1] else given)[match[2]] = match[3]
    return given, shown


def test_the_settings_are_found_by_reading_them() -> None:
    variables = settings_variables()

    assert {*USUAL, "EXCHANGE_ENV", "DJANGO_SECRET_KEY", "KAFKA_PARTITIONS"} <= variables.keys()


def test_services_are_the_servers_the_processes_and_migrate() -> None:
    assert set(SERVICES) == {*SERVERS, "migrate", *(process.name for process in PROCESSES)}


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_process_runs_by_the_command_of_the_stack(process: Process) -> None:
    service = SERVICES[process.name]

    assert tuple(shlex.split(service["command"])) == process.argv
    assert process.environment.items() <= service["environment"].items()
    if process.port is None:
        assert "ports" not in service
    else:
        assert service["ports"] == [f"127.0.0.1:{process.port}:{process.port}"]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_process_is_checked_for_health(process: Process) -> None:
    test = SERVICES[process.name]["healthcheck"]["test"]

    if process.port is not None:
        assert test[:3] == ["CMD", "python", "-c"]
        compile(test[3], "healthcheck", "exec")
        assert f"http://127.0.0.1:{process.port}{process.health_path}" in test[3]
    elif process.bridge is not None:
        assert test == ["CMD", "python", "manage.py", "check_bridge", process.bridge]
    else:
        schedule = Path(process.argv[process.argv.index("-s") + 1])
        assert f"find {schedule.parent} -name '{schedule.name}*'" in test[1]


@pytest.mark.parametrize("name", OURS)
def test_process_gets_the_addresses_and_time_to_stop(name: str) -> None:
    service = OURS[name]

    assert service["environment"].keys() >= USUAL.keys()
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert service["stop_grace_period"] == f"{STOP_SECONDS}s"
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_workers_can_be_scaled() -> None:
    for name in ("matching-worker", "trades-worker"):
        assert not SERVICES[name].keys() & {"container_name", "hostname", "ports", "volumes"}
        assert "@%h" in SERVICES[name]["command"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_dependency_can_be_met(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[needed], needed
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[needed]["restart"] == "no"


def test_processes_wait_for_the_stores_and_for_migrate() -> None:
    for process in PROCESSES:
        assert SERVICES[process.name]["depends_on"].keys() == {*SERVERS, "migrate"}


@pytest.mark.parametrize("name", SERVICES)
def test_everything_but_migrate_has_a_healthcheck(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) == (name != "migrate")


@pytest.mark.parametrize("name", OURS)
def test_variables_of_our_services_are_read_by_the_settings(name: str) -> None:
    known = settings_variables().keys() | NOT_SETTINGS

    assert OURS[name]["environment"].keys() <= known


@pytest.mark.parametrize("name", SERVERS)
def test_variables_of_the_servers_belong_to_their_images(name: str) -> None:
    for variable in SERVICES[name].get("environment", {}):
        assert IMAGE_VARIABLES.fullmatch(variable), variable


def test_every_variable_that_compose_reads_is_in_env_example() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    given, shown = env_example()

    assert set(INTERPOLATED.findall(text)) <= given.keys() | shown.keys()
    assert "${" not in re.sub(r"\$\{[A-Z_]+:-", "", text), "one without a default needs an .env"


def test_env_example_and_settings_know_the_same_variables() -> None:
    given, shown = env_example()

    assert not given.keys() & shown.keys()
    assert given.keys() | shown.keys() == {*settings_variables(), "POSTGRES_PASSWORD"}


def test_env_example_shows_the_defaults() -> None:
    given, shown = env_example()
    for name, default in settings_variables().items():
        if name in USUAL or name == "DJANGO_ALLOWED_HOSTS":
            continue  # other names in containers: compared with compose below
        value = (given | shown)[name]
        if isinstance(default, ast.expr):
            assert name in shown, f"{name} depends on another setting: do not set it"
        elif isinstance(default, list):
            assert value == ",".join(default), name
        else:
            assert value == str(default), name


def test_without_env_file_compose_uses_the_values_of_env_example() -> None:
    given, shown = env_example()
    text = (PROJECT / "docker-compose.yml").read_text()
    for name in ("DJANGO_ALLOWED_HOSTS", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        assert f"${{{name}:-{given[name]}}}" in text
    assert f"${{POSTGRES_PASSWORD:-{given['POSTGRES_PASSWORD']}}}" in text
    assert shown["DATABASE_URL"] == "postgres://exchange:exchange@postgres:5432/exchange"


def test_addresses_name_the_services() -> None:
    given, shown = env_example()
    database = environ.Env().db_url_config(shown["DATABASE_URL"])
    image = SERVICES["postgres"]["environment"]

    assert database["HOST"] in SERVICES
    assert (database["USER"], database["NAME"]) == (image["POSTGRES_USER"], image["POSTGRES_DB"])
    assert given["REDIS_URL"].startswith("redis://redis:")
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(
        f"://{given['KAFKA_BOOTSTRAP_SERVERS']}"
    )


def test_every_manage_command_exists() -> None:
    commands = get_commands()
    text = (PROJECT / "docker-compose.yml").read_text()
    named = re.findall(r"manage\.py\"?,? \"?([a-z_]+)", text)

    assert {"migrate", "create_topics", "check_bridge"} <= set(named)
    assert set(named) <= commands.keys()


def test_servers_are_of_the_versions_that_the_project_needs() -> None:
    assert int(SERVICES["postgres"]["image"].removeprefix("postgres:")) >= 17
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"
    redis = shlex.split(SERVICES["redis"]["command"])
    assert redis == [
        *("redis-server", "--save", "", "--appendonly", "no"),
        *("--maxmemory-policy", "noeviction"),
    ]


def test_kafka_keeps_everything_and_makes_no_topic_by_itself() -> None:
    kafka = SERVICES["kafka"]["environment"]

    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["KAFKA_LOG_RETENTION_MS"] == kafka["KAFKA_LOG_RETENTION_BYTES"] == "-1"
    assert f"kafka:{kafka['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"]


def test_data_is_in_named_volumes() -> None:
    mounted = {v.split(":")[0] for name in SERVERS for v in SERVICES[name].get("volumes", [])}

    assert mounted == COMPOSE["volumes"].keys() == {"postgres", "kafka"}


def test_image_installs_what_is_pinned_and_runs_as_nobody_in_particular() -> None:
    instructions = [
        line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line[:1].isupper()
    ]
    last = {instruction[0]: instruction[1] for instruction in instructions}

    assert "-r /requirements/base.txt" in DOCKERFILE
    assert "-c constraints.txt" in (PROJECT / "requirements/base.txt").read_text()
    assert last["USER"] not in {"root", "0"}
    assert instructions[-1][0] == "USER", "nothing runs as root after it"
    assert last["FROM"] == "python:3.11-slim"
    assert "PYTHONUNBUFFERED=1" in DOCKERFILE
    assert not re.search(r"apt-get|\bgcc\b|build-essential", DOCKERFILE)


def test_image_has_every_package_that_django_loads() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    local = {
        app.split(".")[0]
        for app in settings.INSTALLED_APPS
        if (PROJECT / app.split(".")[0]).is_dir()
    }

    assert ignored[1] == "*"
    assert {f"!{name}" for name in local | {"manage.py"}} <= set(ignored)
    left_out = [PROJECT / "exchange" / name for name in ("embedded", "stack")]
    for directory in left_out:
        assert str(directory.relative_to(PROJECT)) in ignored
    for source in (path for app in local for path in (PROJECT / app).rglob("*.py")):
        if not any(source.is_relative_to(directory) for directory in left_out):
            assert not USES_LEFT_OUT.search(source.read_text()), source


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker client")
def test_docker_compose_accepts_the_file() -> None:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode != 0:
        pytest.skip("needs the compose plugin of the docker client")

    checked = subprocess.run(
        ["docker", "compose", "config", "-q"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stderr


def report(
    *, state: str = "running", age: float = 0, host: str = "h", pid: int = 1
) -> BridgeReport:
    """A report made `age` seconds before the test begins, not before it was collected."""
    return BridgeReport(
        bridge="matching", host=host, pid=pid, state=state, error="no broker" * (state == "failing"),
        reported_at=-age,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        ([report()], None),
        ([report(state="idle")], None),
        ([], "has reported"),
        ([report(host="another")], "has reported"),
        ([report(age=STALE_SECONDS + 1)], "has not reported for more than 10 s"),
        ([report(state="failing")], "is failing: no broker"),
        ([report(state="recovering")], "is recovering."),
        ([report(age=3), report(state="failing", pid=2)], "is failing"),
        ([report(state="failing", age=3), report(pid=2)], None),
    ],
)
def test_check_bridge_judges_the_newest_report_of_this_host(
    reports: list[BridgeReport], says: str | None
) -> None:
    now = time.time()
    made = [replace(report, reported_at=now + report.reported_at) for report in reports]
    problem = problem_with("matching", "h", made)

    if says is None:
        assert problem is None
    else:
        assert problem is not None
        assert says in problem

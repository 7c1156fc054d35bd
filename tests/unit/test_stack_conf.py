"""What the stack makes before it starts anything: processes, configuration, refusals."""

import configparser
import os
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from exchange.embedded.errors import ServerError
from exchange.embedded.ports import free_port, is_free, require_free
from exchange.stack import __main__ as cli
from exchange.stack.configuration import PARENT, Program, process_program, render
from exchange.stack.errors import StackError
from exchange.stack.lock import RunLock
from exchange.stack.output import LogFile
from exchange.stack.processes import exchange_processes
from exchange.stack.servers import embedded_servers
from exchange.stack.stack import Stack

SCHEDULE = Path("/somewhere/beat.schedule")


def rendered(*programs: Program) -> configparser.ConfigParser:
    text = render(
        programs,
        socket=Path("/run/s.sock"),
        password="secret",
        run_dir=Path("/run"),
        log_dir=Path("/log"),
    )
    # As supervisord reads it: it expands %(name)s itself, and makes %% one percent sign.
    parser = configparser.ConfigParser(
        defaults={"ENV_SUPERVISORD_PID": "4711"}, inline_comment_prefixes=(";", "#")
    )
    parser.read_string(text)
    return parser


def test_every_process_of_the_design_is_there() -> None:
    processes = exchange_processes(schedule=SCHEDULE)

    assert [process.name for process in processes] == [
        *("balances", "orders", "matching", "matching-worker", "trades-worker"),
        *("market-data-worker", "beat"),
    ]
    assert {p.name: p.port for p in processes if p.port} == {
        "balances": 5001,
        "orders": 5002,
        "matching": 5003,
    }
    assert all(process.environment["PROCESS_NAME"] == process.name for process in processes)


def test_web_services_bind_to_loopback_on_the_ports_given() -> None:
    ports = {"balances": 1, "orders": 2, "matching": 3}

    web = [
        process for process in exchange_processes(ports=ports, schedule=SCHEDULE) if process.port
    ]

    assert [process.port for process in web] == [1, 2, 3]
    for process in web:
        assert process.argv[process.argv.index("--bind") + 1] == f"127.0.0.1:{process.port}"
        assert process.environment["EXCHANGE_SERVICE"] == process.name


def test_command_and_environment_survive_the_configuration_unchanged() -> None:
    program = Program(
        name="odd",
        group="exchange",
        command=["launch", "--parent", PARENT, "matching@%h", "it's", "a b", ""],
        environment={"RATE": "50%"},
        stop_signal=signal.SIGINT,
    )

    section = rendered(program)["program:odd"]

    assert shlex.split(section["command"]) == [
        *("launch", "--parent", "4711", "matching@%h", "it's", "a b", "")
    ]
    assert section["environment"] == 'RATE="50%"'
    assert section["stopsignal"] == "INT"


def test_processes_are_started_from_this_virtualenv_and_die_with_the_supervisor() -> None:
    worker = next(p for p in exchange_processes(schedule=SCHEDULE) if p.name == "matching-worker")

    command = shlex.split(rendered(process_program(worker))["program:matching-worker"]["command"])

    assert command[command.index("--parent") + 1] == "4711"
    program = command[command.index("--") + 1 :]
    assert program[0] == str(Path(sys.executable).with_name("celery"))
    assert program[1:] == list(worker.argv[1:])


def test_a_process_that_dies_is_always_started_again() -> None:
    section = rendered(Program(name="p", group="exchange", command=["p"]))["program:p"]

    assert section["autorestart"] == "true"
    assert int(section["startretries"]) > 1_000_000


def test_servers_start_before_the_processes_and_stop_after_them() -> None:
    parser = rendered(
        Program(name="postgres", group="servers", command=["p"], autostart=True),
        Program(name="orders", group="exchange", command=["o"]),
    )

    # supervisord stops the group with the highest priority first, and waits for it.
    assert int(parser["group:servers"]["priority"]) < int(parser["group:exchange"]["priority"])
    assert parser["program:postgres"]["autostart"] == "true"
    assert parser["program:orders"]["autostart"] == "false"


def test_only_servers_without_a_given_address_are_embedded(tmp_path: Path) -> None:
    servers = embedded_servers(
        tmp_path, kafka="embedded", durable=True, given={"DATABASE_URL", "REDIS_URL"}
    )
    apache = embedded_servers(tmp_path, kafka="apache", durable=True, given={"DATABASE_URL"})

    assert [server.name for server in servers] == ["tansu"]
    assert [server.name for server in apache] == ["valkey", "apache-kafka"]


def test_environment_has_given_and_embedded_addresses_and_the_services(tmp_path: Path) -> None:
    stack = Stack(
        data_dir=tmp_path / "data",
        run_dir=tmp_path / "run",
        ports={"orders": 5002},
        given={"DATABASE_URL": "postgres://u:p@db/x", "PATH": "not an address"},
    )

    addresses = stack.addresses()

    assert addresses["DATABASE_URL"] == "postgres://u:p@db/x"
    assert addresses["REDIS_URL"].startswith("redis://127.0.0.1:")
    assert addresses["ORDERS_URL"] == "http://127.0.0.1:5002"
    assert addresses.keys() == {
        *("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"),
        *("BALANCES_URL", "ORDERS_URL", "MATCHING_URL"),
    }
    assert stack.environment()["PATH"] == os.environ["PATH"]


def test_occupied_ports_are_all_named_with_their_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]

        with pytest.raises(ServerError) as error:
            require_free({"balances": first, "orders": second, "matching": free_port()})

    message = str(error.value)
    assert f"{first} (balances): held by process {os.getpid()}" in message
    assert f"{second} (orders): held by process {os.getpid()}" in message
    assert "matching" not in message


def test_free_ports_are_distinct_and_outside_the_range_of_outgoing_connections() -> None:
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == len(ports)
    assert all(is_free(port) and not lowest <= port <= highest for port in ports)


def test_second_stack_in_the_same_place_is_refused_and_the_first_is_left_alone(
    tmp_path: Path,
) -> None:
    holder = RunLock(tmp_path / "run" / "lock")
    holder.acquire()
    addresses = tmp_path / "run" / "addresses.json"
    addresses.write_text("{}")
    second = Stack(data_dir=tmp_path / "data", run_dir=tmp_path / "run")

    with pytest.raises(StackError, match=rf"process {os.getpid()} holds .*lock"):
        second.start()
    second.stop()

    assert addresses.exists()
    holder.release()
    again = RunLock(tmp_path / "run" / "lock")
    again.acquire()
    again.release()


def test_occupied_web_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        stack = Stack(
            data_dir=tmp_path / "data", run_dir=tmp_path / "run", ports={"balances": port}
        )

        with pytest.raises(ServerError, match=rf"{port} \(balances\)"):
            stack.start()

    assert not (tmp_path / "data").exists()


def test_invalid_port_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_PORT", "http")

    with pytest.raises(StackError, match="ORDERS_PORT is 'http'"):
        cli._web_ports()


def test_passwords_are_not_shown() -> None:
    assert cli._without_password("postgres://me:secret@db:5432/x") == "postgres://me:***@db:5432/x"
    assert cli._without_password("redis://127.0.0.1:1/0") == "redis://127.0.0.1:1/0"


def test_env_without_a_running_stack_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "ADDRESSES_FILE", tmp_path / "addresses.json")
    with pytest.raises(StackError, match="make up"):
        cli.show_environment()

    (tmp_path / "addresses.json").write_text('{"DATABASE_URL": "postgres://a b"}')

    assert cli.show_environment() == 0
    assert capsys.readouterr().out == "export DATABASE_URL='postgres://a b'\n"


def test_log_follower_gives_whole_lines_from_now_on_also_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "p.log"
    path.write_text("old\n")
    log = LogFile(path)
    with path.open("a") as out:
        out.write("one\ntw")
    assert log.new_lines() == ["one"]

    with path.open("a") as out:
        out.write("o\n")
    path.rename(tmp_path / "p.log.1")
    path.write_text("three\n")

    assert log.new_lines() == ["two", "three"]
    log.close()

"""The command line: `python -m exchange.stack up|demo|env`.

Turns arguments and signals into calls of `Stack`, and errors into a sentence and an exit status.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console

from exchange.addresses import ADDRESSES_FILE, LOCAL, USUAL
from exchange.embedded.errors import ServerError
from exchange.stack.errors import StackError
from exchange.stack.output import Follower, print_addresses
from exchange.stack.processes import METRICS_PORTS, WEB_PORTS
from exchange.stack.servers import KafkaChoice
from exchange.stack.stack import Stack

INTERRUPTED = 130
DEMO = LOCAL / "demo"
DEMO_LOGS = LOCAL / "demo-logs"
SUPERVISOR_POLL_SECONDS = 0.5

EPILOG = """\
environment:
  DATABASE_URL, REDIS_URL, KAFKA_BOOTSTRAP_SERVERS
      servers of your own; `up` starts those that are not named ("demo" always starts its own)
  BALANCES_PORT, ORDERS_PORT, MATCHING_PORT
      ports of the web services for `up` (5001, 5002, 5003)
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m exchange.stack",
        description="Run the whole exchange on this machine, without Docker.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|demo|env")
    for name, what in (
        ("up", "start everything in the foreground, until Ctrl-C; data is kept in .local/data"),
        ("demo", "start everything on throw-away data, play both walk-throughs, check, stop"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument(
            "--kafka",
            choices=("embedded", "apache"),
            default="embedded",
            help="the broker to start: the embedded one (in memory), or Apache Kafka itself "
            "(needs Java 17 and Maven, and the network the first time)",
        )
    what = "print the addresses of the running `up`, for eval in a shell"
    commands.add_parser("env", help=what, description=what)
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.command == "up":
            return up(kafka=options.kafka)
        return demo(kafka=options.kafka) if options.command == "demo" else show_environment()
    except (ServerError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def up(*, kafka: KafkaChoice) -> int:
    """Run everything until interrupted. Returns 0 when it was stopped by a signal."""
    console = Console(highlight=False)
    stack = Stack(
        data_dir=LOCAL / "data",
        run_dir=LOCAL / "run",
        log_dir=LOCAL / "logs",
        ports=_web_ports(),
        metrics_ports=METRICS_PORTS,
        kafka=kafka,
        given={name: value for name in USUAL if (value := os.environ.get(name))},
        seed=True,
        quiet=False,
        say=_teller(console),
    )
    names = [server.name for server in stack.servers]
    names += [process.name for process in stack.processes]
    follower = Follower([*names, "supervisord"], log_dir=stack.log_dir, console=console)
    stack.claim()
    follower.start()
    try:
        stack.start()
        print_addresses(
            console, addresses=stack.addresses(), log_dir=stack.log_dir, hide=_without_password
        )
        while stack.supervisor.is_running:
            time.sleep(SUPERVISOR_POLL_SECONDS)
        raise StackError(f"The supervisor has ended: see {stack.log_dir / 'supervisord.log'}")
    except KeyboardInterrupt:
        console.print("stopping")
        return 0
    finally:
        _stop(stack)
        follower.stop()


def demo(*, kafka: KafkaChoice) -> int:
    """Play the walk-through on a stack of its own. Returns the walk-through's exit status."""
    console = Console(highlight=False)
    say = _teller(console)
    DEMO_LOGS.mkdir(parents=True, exist_ok=True)
    stack = Stack(
        data_dir=DEMO / "data",
        run_dir=DEMO / "run",
        log_dir=DEMO_LOGS,
        kafka=kafka,
        durable=False,
        fresh=True,
        say=say,
    )
    status = 1
    stack.claim()
    for old in DEMO_LOGS.iterdir():
        old.unlink()
    try:
        stack.start()
        status = stack.command("walkthrough", "--yes").wait()
    except KeyboardInterrupt:
        say("interrupted")
        status = INTERRUPTED
    finally:
        say("stopping")
        _stop(stack)
        shutil.rmtree(DEMO)
        if status not in {0, INTERRUPTED}:
            console.print(f"The logs of every process are in {DEMO_LOGS}")
    return status


def show_environment() -> int:
    """Print the running stack's addresses as shell assignments."""
    if not ADDRESSES_FILE.exists():
        raise StackError("Nothing is running here: start it with `make up`.")
    for name, value in json.loads(ADDRESSES_FILE.read_text()).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _stop(stack: Stack) -> None:
    # From here on everything has a time limit; a second Ctrl-C must not leave a half behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stack.stop()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _teller(console: Console) -> Callable[[str], None]:
    begin = time.monotonic()
    return lambda text: console.print(
        f"[dim]{time.monotonic() - begin:5.1f} s[/dim]  {text}", soft_wrap=True
    )


def _web_ports() -> dict[str, int]:
    ports = {}
    for service, usual in WEB_PORTS.items():
        name = f"{service.upper()}_PORT"
        text = os.environ.get(name, str(usual))
        if not text.isdigit() or not 0 < int(text) < 2**16:
            raise StackError(f"{name} is {text!r}: set it to a port number, 1 to 65535.")
        ports[service] = int(text)
    return ports


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


if __name__ == "__main__":
    sys.exit(main())

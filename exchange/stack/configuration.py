"""supervisord's configuration, as text, from the servers and processes it is to keep running.

Two groups: `servers`, and `exchange` for the processes, so that the processes start after the
servers and all stop, side by side, before any server does. Only makes text; starts nothing.
"""

import configparser
import io
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exchange.embedded.launch import launch_argv
from exchange.embedded.server import Server
from exchange.stack.processes import STOP_SECONDS, Process

PARENT = "%(ENV_SUPERVISORD_PID)s"
"""supervisord's own process id: `exchange.stack.supervisord` puts it into its environment."""
PROJECT = Path(__file__).resolve().parent.parent.parent
PRIORITY = {"servers": 10, "exchange": 20}
FOREVER = 1_000_000_000
LOG_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Program:
    """What supervisord keeps running. `command` may contain `PARENT`."""

    name: str
    group: Literal["servers", "exchange"]
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = STOP_SECONDS
    start_seconds: int = 1
    autostart: bool = False

    @property
    def full_name(self) -> str:
        """The name under which supervisord knows it."""
        return f"{self.group}:{self.name}"


def server_program(server: Server) -> Program:
    return Program(
        name=server.name,
        group="servers",
        command=server.launch_command(parent=PARENT),
        environment=server.environment(),
        stop_signal=server.stop_signal,
        stop_seconds=server.stop_seconds,
        autostart=True,
    )


def process_program(process: Process) -> Program:
    """Return the program for a process of the exchange, its command taken from this virtualenv."""
    executable = Path(sys.executable).with_name(process.argv[0])
    command = launch_argv([str(executable), *process.argv[1:]], parent=PARENT)
    return Program(
        name=process.name,
        group="exchange",
        command=command,
        environment=process.environment,
        start_seconds=process.start_seconds,
    )


def render(
    programs: Iterable[Program], *, socket: Path, password: str, run_dir: Path, log_dir: Path
) -> str:
    """Return the text of `supervisord.conf`."""
    programs = list(programs)
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": _escaped(str(log_dir / "supervisord.log")),
        "logfile_maxbytes": str(LOG_BYTES),
        "logfile_backups": "2",
        "childlogdir": _escaped(str(log_dir)),
        "pidfile": _escaped(str(run_dir / "supervisord.pid")),
        **({"user": "root"} if os.geteuid() == 0 else {}),  # or it warns of being root
    }
    account = {"username": "exchange", "password": password}
    parser["unix_http_server"] = {"file": _escaped(str(socket)), "chmod": "0700", **account}
    parser["supervisorctl"] = {"serverurl": f"unix://{_escaped(str(socket))}", **account}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for group, priority in PRIORITY.items():
        members = [program.name for program in programs if program.group == group]
        if members:
            parser[f"group:{group}"] = {"programs": ",".join(members), "priority": str(priority)}
    for program in programs:
        parser[f"program:{program.name}"] = _program_section(program, log_dir)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _program_section(program: Program, log_dir: Path) -> dict[str, str]:
    environment = [f'{name}="{_escaped(value)}"' for name, value in program.environment.items()]
    return {
        "command": _escaped(shlex.join(program.command)).replace(f"%{PARENT}", PARENT),
        "directory": _escaped(str(PROJECT)),
        **({"environment": ",".join(environment)} if environment else {}),
        "autostart": str(program.autostart).lower(),
        "autorestart": "true",
        "startsecs": str(program.start_seconds),
        "startretries": str(FOREVER),
        "stopsignal": program.stop_signal.name.removeprefix("SIG"),
        "stopwaitsecs": f"{program.stop_seconds:.0f}",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _escaped(str(log_dir / f"{program.name}.log")),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": "2",
    }


def _escaped(value: str) -> str:
    """Return `value` so that supervisord, which expands `%(name)s` everywhere, leaves it alone."""
    return value.replace("%", "%%")

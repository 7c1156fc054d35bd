"""Become another program, as another user if asked, that dies when its parent does.

Run as a script (`launch_argv` makes the command line): it drops privileges, asks the kernel for
a signal at the death of the parent (Linux, `PR_SET_PDEATHSIG`), and executes the program in its
own place, so the process id stays the same. This is done here and not in a `preexec_fn` because
that is unsafe in a threaded parent, and because supervisord cannot do it. The user changes first:
a change of credentials clears the death signal.

Standard library only, no other module of this project: it runs before every server and process.

The kernel means the *thread* that started the child: start servers from a thread that stays.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def launch_argv(
    argv: Sequence[str],
    *,
    parent: str,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> list[str]:
    """Return the command that runs `argv` through this script.

    `parent` is the process id of the parent to be, as text: in supervisord's configuration it is
    an expression that supervisord fills in.
    """
    script = str(Path(__file__).resolve())
    command = [sys.executable, "-I", "-S", script, "--parent", parent]
    command += ["--signal", str(int(death_signal))]
    if user is not None:
        command += ["--user", user]
    return [*command, "--", *argv]


def become_user(name: str) -> None:
    """Drop root's privileges for those of the user called `name`, for good."""
    account = pwd.getpwnam(name)
    os.initgroups(name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ.update({"HOME": account.pw_dir, "USER": name, "LOGNAME": name})
    os.chdir("/")  # the caller's directory may be closed to this user


def die_with_parent(parent: int, death_signal: int) -> None:
    """Ask for `death_signal` when the parent dies; exit now if it has died already."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(f"launch: parent {parent} has died, not starting")


def main() -> None:
    parser = argparse.ArgumentParser(prog="launch", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.user is not None:
        become_user(options.user)
    die_with_parent(options.parent, options.signal)
    os.execvp(options.command[0], options.command)  # noqa: S606 - our own command, no shell


if __name__ == "__main__":
    main()

"""Which user PostgreSQL runs as, and where this user can reach its files.

PostgreSQL refuses to run as root. As root we run it as `postgres`, or as `nobody` where there is
no such user. The checkout may be closed to that user (under `/root`, say); binaries and data then
go to directories of their own under `/var/lib`: only root writes there, and unlike `/var/tmp`
nothing cleans it up after a month. Must never open the checkout itself to other users.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from exchange.embedded.errors import ServerError

ELSEWHERE = Path("/var/lib/exchange-embedded")
DATA_PREFIX = "data-"
CANDIDATES = ("postgres", "nobody")


def unprivileged_user() -> str | None:
    """Return the user for servers that refuse root; None when this process is not root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    for name in CANDIDATES:
        if name in known:
            return name
    raise ServerError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it "
        "as. Run this as an ordinary user, or give DATABASE_URL."
    )


def can_reach(user: str, *paths: Path) -> bool:
    """Tell whether `user` can read and enter (or execute) every one of the paths."""
    account = pwd.getpwnam(user)
    test = 'for path; do test -r "$path" && test -x "$path" || exit 1; done'
    finished = subprocess.run(
        ["/bin/sh", "-c", test, "sh", *map(str, paths)],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(user, account.pw_gid),
        cwd="/",
        check=False,
    )
    return finished.returncode == 0


def public_copy(base: Path, directories: Iterable[str], name: str) -> Path:
    """Return a copy of these directories of `base` under `ELSEWHERE` that every user can read.

    They keep their places relative to each other, because binaries find their libraries by them.
    Made once for each `name`, which has to tell versions apart.
    """
    target = _elsewhere() / name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=ELSEWHERE, prefix=f"{name}.") as staging:
        copy = Path(staging, "copy")
        for directory in directories:
            shutil.copytree(base / directory, copy / directory, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():  # otherwise another process was first, which is as good
                raise
    return target


def reachable_directory(wanted: Path, user: str) -> Path:
    """Return `wanted` if `user` can reach it, else a directory that it can, linked from `wanted`.

    The directory itself need not exist afterwards; its parent does.
    """
    if wanted.is_symlink():
        return wanted.resolve()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if can_reach(user, wanted.parent):
        return wanted
    if wanted.exists():
        raise ServerError(
            f"The user {user} cannot enter {wanted.parent}. Open it to other users, or delete "
            f"{wanted} to have the data kept under {ELSEWHERE}."
        )
    own = Path(tempfile.mkdtemp(dir=_elsewhere(), prefix=DATA_PREFIX))
    own.chmod(0o755)
    wanted.symlink_to(own / wanted.name)
    return own / wanted.name


def discard_elsewhere(directory: Path) -> None:
    """Delete the directory that `reachable_directory` made for `directory`; no other."""
    own = directory.parent
    if own.parent == ELSEWHERE and own.name.startswith(DATA_PREFIX):
        shutil.rmtree(own)


def _elsewhere() -> Path:
    if not ELSEWHERE.exists():
        ELSEWHERE.mkdir(exist_ok=True)
        ELSEWHERE.chmod(0o755)  # whatever the umask says
    return ELSEWHERE

"""supervisord, started so that its children can tell when it dies, and so that it holds the lock.

Run by `exchange.stack.supervisor` only. Arguments are supervisord's own.
"""

import os
import sys

from supervisor.supervisord import main as run

LOCK_VARIABLE = "EXCHANGE_STACK_LOCK"
"""The number of the descriptor of the stack's lock, which supervisord keeps open."""


def main() -> None:
    os.environ["SUPERVISORD_PID"] = str(os.getpid())
    lock = os.environ.pop(LOCK_VARIABLE, None)
    if lock is not None:
        # Ours until we end, but not our children's: the lock is free when the last of us is gone.
        os.set_inheritable(int(lock), False)
    run(sys.argv[1:])


if __name__ == "__main__":
    main()

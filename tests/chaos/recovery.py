"""Waiting until everything is well again, without a hand on it: how long did it take?

Well means: what the fault has hurt has been replaced, every process runs, each service says that
it is ready and that the bridges of just these workers read, and an order that is placed on each
market now is matched and settled.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exchange.stack.errors import StackError
from exchange.stack.processes import WEB_PORTS, Process
from tests.chaos.books import Books
from tests.chaos.client import Client, NoAnswerError
from tests.chaos.journal import Journal, Sent, Told
from tests.chaos.load import SHAPES, Names, Shape
from tests.chaos.site import Site

PATIENCE_SECONDS = 120.0
"""How long to wait at all. Beyond the limit of the run a recovery is a violation, but one that comes
late says more than none."""
POLL_SECONDS = 0.1


class NotRecoveredError(Exception):
    """Something is not well within the time; the message says what."""


@dataclass
class Recovery:
    """Waits for the site to be well. `user_id`: whose orders are placed to find out."""

    site: Site
    books: Books
    client: Client
    journal: Journal
    user_id: int
    names: Names = field(default_factory=lambda: Names("probe"))

    def wait(self, *, since: float, in_flight: Sequence[int]) -> float:
        """Return the seconds it took from `since` (monotonic) until all was well.

        `in_flight`: the orders that were not settled when the fault came.

        Raises:
            NotRecoveredError: it took longer than `PATIENCE_SECONDS`.
        """
        deadline = since + PATIENCE_SECONDS
        self._until(self._problem, deadline)
        try:
            probes = [self._place(shape, deadline) for shape in SHAPES]
            self._until(lambda: self._unsettled(probes, deadline), deadline)
            self._until(lambda: self._still_in_flight(in_flight), deadline)
            took = time.monotonic() - since
            for probe in probes:
                if self.client.cancel(probe.order_id, until=deadline).status == 202:
                    self.journal.cancel_accepted(probe)
        except NoAnswerError as error:
            raise NotRecoveredError(str(error)) from error
        return took

    def _until(self, problem: Callable[[], str], deadline: float) -> None:
        while text := problem():
            if time.monotonic() > deadline:
                raise NotRecoveredError(f"after {PATIENCE_SECONDS:g} s: {text}")
            self.client.rest(POLL_SECONDS)

    def _problem(self) -> str:
        """Return what is not well yet, "" if nothing."""
        try:
            return self._of_processes() or self._of_services()
        except StackError as error:  # a program is between two states
            return str(error)

    def _of_processes(self) -> str:
        if not all(holds() for holds in self.site.expected):
            return "what was hurt has not been replaced"
        for process in self.site.stack.processes:
            state = self._state(process.name)
            if not _is_up(process, state):
                return f"{process.name} is {state}"
        for server in self.site.stack.servers:
            if (state := self._state(server.name)) != "RUNNING":
                return f"{server.name} is {state}"
        return ""

    def _of_services(self) -> str:
        stack = self.site.stack
        workers = {(p.bridge, stack.pid_of(p.name)) for p in stack.processes if p.bridge}
        for service in WEB_PORTS:
            answer = self.client.ready(service)
            if answer is None or answer.status != 200:
                return f"{service} is not ready: {answer.body if answer else 'no answer'}"
            reading = {
                (report["bridge"], report["pid"])
                for report in answer.body["bridges"]
                if report["state"] == "running"
            }
            if missing := workers - reading:
                return f"{service} knows of no running bridge for {missing}"
        return ""

    def _state(self, name: str) -> str:
        return str(self.site.stack.supervisor.state_of(name)["statename"])

    def _place(self, shape: Shape, deadline: float) -> Told:
        price = shape.far("buy")
        sent = Sent(self.names.new(), self.user_id, shape.symbol, "buy", price, shape.lot)
        answer = self.client.place(sent, until=deadline)
        if answer.status == 422:
            raise NotRecoveredError(f"{sent} was refused: {answer.body}")
        return self.journal.accepted(sent, int(answer.body["id"]))

    def _unsettled(self, probes: Sequence[Told], deadline: float) -> str:
        ids = [probe.order_id for probe in probes]
        statuses = {pk: self.client.order(pk, until=deadline)["status"] for pk in ids}
        waiting = [pk for pk, status in statuses.items() if status == "pending"]
        return f"orders placed after the fault are not settled: {waiting}" if waiting else ""

    def _still_in_flight(self, order_ids: Sequence[int]) -> str:
        waiting = self.books.in_flight(order_ids)
        return f"orders in flight at the fault are not settled: {waiting}" if waiting else ""


def _is_up(process: Process, state: str) -> bool:
    """Whether the supervisor counts it as there.

    STARTING is the supervisor's word for "not yet there for some seconds". Who has a health check
    of its own is asked; of the others it is all there is to know.
    """
    answers = process.port is not None or process.bridge is not None
    return state == "RUNNING" or (answers and state == "STARTING")

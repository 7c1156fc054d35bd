"""One chaos run from start to end: start everything, load, hurt, wait, account, stop.

Ends at the first violation, so that the logs of the stack are those of the moment; only a recovery
that came late does not end it. Must leave nothing running, however it ends.
"""

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from exchange.embedded.errors import ServerError
from exchange.embedded.server import wait_until
from exchange.stack.errors import StackError
from exchange.stack.processes import WEB_PORTS
from exchange.stack.servers import KafkaChoice
from tests.chaos.accounting import Finding, account, account_amendments, account_at_rest
from tests.chaos.books import Books, Stored
from tests.chaos.client import Client, NoAnswerError, UnexpectedAnswerError
from tests.chaos.crew import Crew
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.journal import Journal, Told
from tests.chaos.load import add_load
from tests.chaos.recovery import NotRecoveredError, Recovery
from tests.chaos.report import Injection, Report
from tests.chaos.site import ChaosStack, Site
from tests.chaos.versions import versions
from tests.chaos.watcher import Watcher

USERS = 40
WATCHERS = 2
BETWEEN_SECONDS = (0.2, 1.2)
"""The time between the recovery from a fault and the next one."""
WARM_UP_SECONDS = 2.0
REST_SECONDS = 60.0
"""How long it may take until nothing is under way any more, once the load rests."""
MARKET_RULES = """
from orders.models import Market
Market.objects.update(maker_fee_rate="0.0003", taker_fee_rate="0.0007", price_band="0.2")
"""
FAILURES = (StackError, ServerError, NoAnswerError, UnexpectedAnswerError, psycopg2.Error)
"""What ends a run as a violation does: without an answer nobody can say that all is well."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is to be done.

    `load`: requests a second; `limit_seconds`: the longest recovery; `rest_every`: faults between
    two accounts.
    """

    seed: int
    times: int
    base_dir: Path
    kafka: KafkaChoice = "embedded"
    faults: tuple[Fault, ...] = FAULTS
    load: float = 40.0
    limit_seconds: float = 30.0
    rest_every: int = 20
    keep_logs: bool = False

    def possible(self) -> list[Fault]:
        """Return the chosen faults that this broker can have."""
        return [fault for fault in self.faults if self.kafka in fault.brokers]


class ViolationError(Exception):
    """A promise is broken, or nobody can tell whether it is kept."""


class Run:
    """A run under way. `tell` is called with a line for each thing that has happened."""

    def __init__(self, options: Options, *, tell: Callable[[str], None]) -> None:
        self._options = options
        self._tell = tell
        self._rng = random.Random(options.seed)
        self._stack = ChaosStack(
            data_dir=options.base_dir / "data",
            run_dir=options.base_dir / "run",
            log_dir=options.base_dir / "logs",
            kafka=options.kafka,
            durable=False,
            fresh=True,
            say=tell,
        )
        self._site = Site(self._stack, options.kafka, self._rng, self._stack.log_dir)
        self._books = Books(self._stack.addresses()["DATABASE_URL"])
        self._journal = Journal()
        self._stopping = threading.Event()
        self._crew = Crew(stopping=self._stopping)
        self._watchers: list[Watcher] = []
        self._client = self._new_client()
        self._known: set[Finding] = set()
        self._begun = 0.0
        self.report = Report(
            seed=options.seed, broker=options.kafka, load=options.load,
            limit_seconds=options.limit_seconds, logs=str(self._stack.log_dir),
        )  # fmt: skip

    def execute(self, done: Callable[[int, int], None] = lambda _done, _of: None) -> Report:
        """Do it all and return the report; `done` is told how many faults are done, of how many."""
        plan = self._options.possible() * self._options.times
        self._rng.shuffle(plan)
        try:
            with self._violations_noted(), self._stack:
                self._prepare()
                try:
                    with self._violations_noted():
                        self._play(plan, done)
                finally:
                    self._crew.stop()
                    self._sum_up()
        finally:
            self._clear_away()
        return self.report

    @contextmanager
    def _violations_noted(self) -> Iterator[None]:
        try:
            yield
        except ViolationError:
            pass
        except FAILURES as error:
            self.report.violations.append(f"{type(error).__name__}: {error}")

    def _prepare(self) -> None:
        self._tell(f"making {USERS} traders")
        output = self._stack.log_dir / "seed.log"
        self._stack.command("seed", "--users", str(USERS), output=output).check()
        self._stack.command("shell", "--command", MARKET_RULES, output=output).check()
        users = self._books.traders()
        watching, trading = users[: WATCHERS + 1], users[WATCHERS + 1 :]
        add_load(
            self._crew, clients=self._new_client, journal=self._journal, users=trading,
            seed=self._options.seed, per_second=self._options.load,
        )  # fmt: skip
        for number, user_id in enumerate(watching[1:]):
            watcher = Watcher(
                number, clients=self._new_client, journal=self._journal, user_id=user_id,
                seed=self._options.seed,
            )  # fmt: skip
            self._watchers.append(watcher)
            self._crew.add(f"watcher {number}", watcher.act, seconds=watcher.pace)
        self._recovery = Recovery(
            self._site, self._books, self._client, self._journal, user_id=watching[0]
        )
        self.report.versions = versions(self._books, self._options.kafka)

    def _play(self, plan: Sequence[Fault], done: Callable[[int, int], None]) -> None:
        self._begun = time.monotonic()
        self._crew.start()
        self._crew.resume()
        self._site.pass_time(WARM_UP_SECONDS)
        for number, fault in enumerate(plan, start=1):
            self._site.pass_time(self._rng.uniform(*BETWEEN_SECONDS))
            self._inject(fault, number, len(plan))
            self._judge(account(*self._answered_lately()), during=fault)
            if number % self._options.rest_every == 0 or number == len(plan):
                self._balance_books(plan)
            done(number, len(plan))

    def _inject(self, fault: Fault, number: int, total: int) -> None:
        site = self._site
        site.begin()
        in_flight = self._books.in_flight()
        self._journal.window += 1
        took: float | None = None
        try:
            fault.inject(site)
            took = self._recovery.wait(since=time.monotonic(), in_flight=in_flight)
        except (NotRecoveredError, *FAILURES) as error:
            self.report.violations.append(f"{fault.name} ({', '.join(site.notes)}): {error}")
            raise ViolationError from error
        else:
            if took > self._options.limit_seconds:
                self.report.violations.append(f"{fault.name}: recovered after {took:.1f} s only")
        finally:
            note = ", ".join(site.notes)
            self.report.injections.append(Injection(number, fault.name, note, len(in_flight), took))
            outcome = "did not recover" if took is None else f"recovered in {took:4.1f} s"
            self._tell(
                f"{number:3}/{total}  {fault.name:<24} {len(in_flight):3} in flight  {outcome}  {note}"
            )

    def _answered_lately(self) -> tuple[list[Told], list[Stored]]:
        told = self._journal.since(self._journal.window - 1)
        return told, self._books.orders([entry.order_id for entry in told])

    def _balance_books(self, plan: Sequence[Fault]) -> None:
        """Let the load rest until nothing is under way, and compare everything there is."""
        if not self._crew.pause(timeout_seconds=REST_SECONDS):
            self._violated([f"a request is not answered {REST_SECONDS:g} s after the last fault"])
        if not wait_until(lambda: self._books.unsettled() == 0, timeout_seconds=REST_SECONDS):
            self._violated([f"{self._books.unsettled()} orders are not settled at rest"])
        # A Redis that was away is taken back by periodic work, some seconds after it answers again.
        if not wait_until(lambda: not self._books.cache_is_distrusted(), timeout_seconds=30):
            self._violated(["the cache is not trusted again 30 s after the last recovery"])
        told = self._journal.all()
        self._judge(account_at_rest(told, self._books.orders()), plan=plan)
        wanted, stored = list(self._journal.wanted), self._books.amendments()
        self._judge(account_amendments(wanted, stored), plan=plan)
        self._violated(self._prove("audit") + self._prove("replay") + self._balance_differences())
        names = [p.name for p in self._stack.processes] + [s.name for s in self._stack.servers]
        if not wait_until(lambda: all(map(self._is_running, names)), timeout_seconds=15):
            self._violated(["not every process is RUNNING"])
        self.report.checkpoints += 1
        self._tell(f"at rest: {len(told)} orders are there, once; audit and replay agree")
        self._crew.resume()

    def _prove(self, command: str) -> list[str]:
        """Return what `manage.py` audit or replay has to say, if not that all agrees."""
        output = self._stack.log_dir / f"{command}.log"
        if self._stack.command(command, output=output).wait() == 0:
            return []
        return [f"{command}: {output.read_text()[-3000:]}"]

    def _balance_differences(self) -> list[str]:
        """Return where the balance service says something else than Postgres."""
        found = []
        deadline = time.monotonic() + REST_SECONDS
        for user_id, stored in self._books.balances().items():
            served, source = self._client.balances(user_id, until=deadline)
            if served != stored:
                found.append(f"balance of {user_id}: {source} says {served}, Postgres {stored}")
        return found

    def _judge(
        self,
        findings: Sequence[Finding],
        *,
        during: Fault | None = None,
        plan: Sequence[Fault] = (),
    ) -> None:
        """Count what is new among `findings`: for the fault under way, or that of its answer."""
        for finding in findings:
            if finding in self._known:
                continue
            self._known.add(finding)
            fault = during or plan[max(finding.window, 1) - 1]
            counts = {"lost": self.report.lost, "doubled": self.report.doubled}.get(finding.kind)
            if counts is not None:
                counts[fault.name] = counts.get(fault.name, 0) + 1
        self._violated([str(finding) for finding in findings])

    def _violated(self, what: Sequence[str]) -> None:
        """End the run if there is anything in `what`, or among the problems of the crew."""
        if found := [*what, *self._crew.problems]:
            self.report.violations += found[:50]
            raise ViolationError

    def _sum_up(self) -> None:
        report, journal = self.report, self._journal
        report.orders, report.cancels = len(journal.told), journal.cancels
        report.amendments = len(journal.wanted)
        report.repeated = journal.unanswered
        report.duration_seconds = time.monotonic() - self._begun
        for watcher in self._watchers:
            for source, count in watcher.reads.items():
                report.balance_reads[source] = report.balance_reads.get(source, 0) + count
        situation = [f"violation: {violation}" for violation in report.violations]
        try:
            report.trades = self._books.trades()
            situation += self._books.situation()
        except psycopg2.Error as error:
            report.violations.append(f"the database does not answer: {error}")
        for service in WEB_PORTS:
            answer = self._client.ready(service)
            situation.append(f"{service}: {answer}")
        (self._stack.log_dir / "situation.txt").write_text("\n".join(situation) + "\n")

    def _clear_away(self) -> None:
        """Keep the logs of a run that has failed, and nothing of one that has passed."""
        shutil.rmtree(self._options.base_dir / "run", ignore_errors=True)
        passed = not self.report.violations and self.report.checkpoints
        if passed and not self._options.keep_logs:
            shutil.rmtree(self._options.base_dir)

    def _is_running(self, name: str) -> bool:
        return bool(self._stack.supervisor.state_of(name)["statename"] == "RUNNING")

    def _new_client(self) -> Client:
        urls = {service: self._stack.url_of(service) for service in WEB_PORTS}
        return Client(urls, journal=self._journal, stopping=self._stopping)

"""What is injected, as data: a name, what it means, and what to do to the site.

Every choice comes from the site's random numbers, so a seed names the faults, their order, their
victims and their moments.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exchange.kafka.names import ORDER_EVENTS, TRADE_EVENTS
from exchange.stack.servers import KafkaChoice
from tests.chaos.site import Site

WEB = ("orders", "balances", "matching")
BESIDE_SECONDS = (0.5, 1.5)
"""How long a second worker works beside the first."""
APART_SECONDS = (0.0, 1.0)
"""The time between the two of two faults at once."""
REDELIVERED = (10, 60)
BOTH: tuple[KafkaChoice, ...] = ("embedded", "apache")


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    `heals_itself`: it leaves something broken that the system has to mend; else the injection
    itself takes back what it did, and what is asked is that nobody has come to harm.
    `at_a_stroke`: it takes no time, so it may come together with another.
    """

    name: str
    what: str
    inject: Callable[[Site], None]
    heals_itself: bool = True
    at_a_stroke: bool = True
    brokers: tuple[KafkaChoice, ...] = BOTH


def _kill_web_worker(site: Site) -> None:
    site.kill_web_worker(site.rng.choice(WEB))


def _kill_web_service(site: Site) -> None:
    site.kill(site.rng.choice(WEB))


def _killer(name: str) -> Callable[[Site], None]:
    return lambda site: site.kill(name)


def _freezer(name: str) -> Callable[[Site], None]:
    return lambda site: site.freeze(name)


def _redeliverer(topic: str) -> Callable[[Site], None]:
    return lambda site: site.redeliver(topic, count=site.rng.randint(*REDELIVERED))


def _kill_broker(site: Site) -> None:
    site.kill(site.broker.name)


def _lose_log(site: Site) -> None:
    site.lose_log()


def _two_matching_workers(site: Site) -> None:
    with site.second_worker("matching", static=True):
        site.pass_time(site.rng.uniform(*BESIDE_SECONDS))


def _rebalance(site: Site) -> None:
    bridge = site.rng.choice(("matching", "trades"))
    site.notes.append(bridge)
    with site.second_worker(bridge, static=False):
        site.pass_time(site.rng.uniform(*BESIDE_SECONDS))


def _two_at_once(site: Site) -> None:
    able = [fault for fault in FAULTS if fault.at_a_stroke and site.kafka in fault.brokers]
    first, second = site.rng.sample(able, 2)
    site.notes.append(f"{first.name} + {second.name}")
    first.inject(site)
    site.pass_time(site.rng.uniform(*APART_SECONDS))
    second.inject(site)


FAULTS: tuple[Fault, ...] = (
    Fault("web worker killed", "SIGKILL of a gunicorn worker", _kill_web_worker),
    Fault("web service killed", "SIGKILL of a gunicorn master", _kill_web_service),
    Fault("matching worker killed", "SIGKILL", _killer("matching-worker")),
    Fault("trades worker killed", "SIGKILL", _killer("trades-worker")),
    Fault("market-data worker killed", "SIGKILL", _killer("market-data-worker")),
    Fault("beat killed", "SIGKILL", _killer("beat")),
    Fault(
        "matching worker frozen", "SIGSTOP beyond the session timeout, then SIGCONT",
        _freezer("matching-worker"), at_a_stroke=False,
    ),
    Fault(
        "trades worker frozen", "SIGSTOP beyond the session timeout, then SIGCONT",
        _freezer("trades-worker"), at_a_stroke=False,
    ),
    Fault("postgres killed", "SIGKILL of the server", _killer("postgres")),
    Fault("valkey killed", "SIGKILL; it forgets everything", _killer("valkey")),
    Fault("broker killed", "SIGKILL; its log is kept", _kill_broker, brokers=("apache",)),
    Fault("log lost", "the broker is killed, its log is gone", _lose_log),
    Fault(
        "two matching workers", "a second one on the same partitions for a while",
        _two_matching_workers, heals_itself=False, at_a_stroke=False,
    ),
    Fault(
        "orders delivered twice", "random records of order-events published again",
        _redeliverer(ORDER_EVENTS), heals_itself=False, at_a_stroke=False,
    ),
    Fault(
        "results delivered twice", "random records of trade-events published again",
        _redeliverer(TRADE_EVENTS), heals_itself=False, at_a_stroke=False,
    ),
    Fault(
        "rebalance", "a second worker joins the group and leaves it", _rebalance,
        heals_itself=False, at_a_stroke=False, brokers=("apache",),
    ),
    Fault("two at once", "two kills within a second", _two_at_once, at_a_stroke=False),
)  # fmt: skip

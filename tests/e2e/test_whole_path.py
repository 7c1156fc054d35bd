"""The whole path over HTTP, every process running, also when one of them is killed."""

import random
import signal
from collections.abc import Callable

import pytest

from tests.e2e.client import Exchange, await_that

pytestmark = pytest.mark.e2e


def test_both_walkthroughs_agree_to_the_last_digit(exchange: Exchange) -> None:
    services = {name: exchange.stack.url_of(name) for name in ("balances", "orders", "matching")}
    options = [f"--{name}-url={url}" for name, url in services.items()]
    printed = exchange.manage("walkthrough", "--yes", *options)
    assert "Everything agrees, to the last digit." in printed
    assert exchange.differences() == []
    keys = exchange.query(
        "SELECT name, last_used_at IS NOT NULL, revoked_at IS NOT NULL FROM exchange_apikey"
    )
    assert keys == [("walkthrough", True, True)]


def test_each_service_answers_for_itself(exchange: Exchange) -> None:
    exchange.place(1, "buy", 10, 1.9)
    exchange.await_settled()
    assert exchange.get("orders", "/orders", user_id=1).json()["results"][0]["status"] == "open"
    book = exchange.get("matching", "/markets/ADA-USDT/book").json()
    assert book["bids"] == [{"price": "1.9", "quantity": "10"}]
    assert exchange.balances(1)["USDT"] == {"available": "981", "held": "19", "total": "1000"}
    assert exchange.get("balances", "/orders").status_code == 404
    assert exchange.get("orders", "/balance/1").status_code == 404


def test_balances_come_from_redis(exchange: Exchange) -> None:
    def source() -> str:
        return exchange.get("balances", "/balance/1").headers["X-Balance-Source"]

    await_that(lambda: source() == "cache")
    exchange.place(1, "buy", 10, 1.9)
    exchange.await_settled()
    assert exchange.balances(1)["USDT"]["held"] == "19"


def test_one_id_ties_the_lines_of_an_order_together(exchange: Exchange) -> None:
    order_id = exchange.place(1, "buy", 10, 1.9)
    exchange.await_settled()
    request_id = exchange.query(f"SELECT request_id FROM orders_order WHERE id = {order_id}")[0][0]
    logs = exchange.stack.log_dir
    for process, event in (
        ("orders", "order_accepted"),
        ("matching-worker", "order_matched"),
        ("trades-worker", "order_settled"),
    ):
        lines = (logs / f"{process}.log").read_text().splitlines()
        assert any(event in line and request_id in line for line in lines), process


def play(exchange: Exchange, disturb: Callable[[int], None]) -> list[tuple[object, ...]]:
    """Play the same orders each time, with a disturbance before each; return what came of them.

    Each order is settled before the next one where its outcome depends on it (a cancel), so that
    the log has the same events in the same order in every run.
    """
    rng = random.Random(20)
    placed: list[int] = []
    for step in range(30):
        disturb(step)
        if placed and rng.random() < 0.2:
            exchange.cancel(rng.choice(placed))
            continue
        user_id = rng.choice((1, 2))
        side = "buy" if user_id == 1 else "sell"
        placed.append(exchange.place(user_id, side, rng.randint(1, 9), f"1.{rng.randint(85, 95)}"))
    exchange.await_ready()
    exchange.await_settled()
    assert exchange.differences() == []
    return exchange.outcome()


def test_a_matching_worker_killed_with_results_unsettled(exchange: Exchange) -> None:
    undisturbed = play(exchange, lambda _: None)
    exchange.reset()

    def disturb(step: int) -> None:
        if step == 10:
            exchange.await_settled()
            exchange.stack.stop_process("trades-worker")  # results pile up, unsettled
        if step == 20:
            exchange.stack.kill("matching-worker", signal.SIGKILL)
        if step == 25:
            exchange.stack.start_process("trades-worker")

    assert play(exchange, disturb) == undisturbed


@pytest.mark.parametrize("victim", ["trades-worker", "orders", "matching-worker"])
def test_a_process_killed_in_the_middle(exchange: Exchange, victim: str) -> None:
    def disturb(step: int) -> None:
        if step == 15:
            exchange.stack.kill(victim, signal.SIGKILL)

    play(exchange, disturb)


@pytest.mark.parametrize("server", ["postgres", "valkey", "broker"])
def test_a_server_killed_and_started_again(exchange: Exchange, server: str) -> None:
    """The embedded broker forgets its log; Apache Kafka keeps it; no order is lost either way."""
    names = {running.name for running in exchange.stack.servers}
    name = server if server in names else (names - {"postgres", "valkey"}).pop()

    def disturb(step: int) -> None:
        if step == 15:
            old_pid = exchange.stack.kill(name, signal.SIGKILL)
            exchange.stack.wait_restarted(name, old_pid=old_pid)

    play(exchange, disturb)

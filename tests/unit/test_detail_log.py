"""The budget of log lines: all details while orders are few, none of a batch that is too many."""

from exchange.detail_log import DetailBudget


def test_a_batch_is_told_whole_or_not_at_all() -> None:
    now = [0.0]
    budget = DetailBudget(lines_per_second=10, burst=20, clock=lambda: now[0])
    assert budget.allows(15)
    assert not budget.allows(6), "only 5 are left"
    assert budget.allows(5), "what was refused has taken nothing"
    now[0] = 1.0
    assert budget.allows(10)
    assert not budget.allows(1)


def test_it_never_saves_more_than_the_burst() -> None:
    now = [0.0]
    budget = DetailBudget(lines_per_second=10, burst=20, clock=lambda: now[0])
    now[0] = 3_600.0
    assert not budget.allows(21)
    assert budget.allows(20)

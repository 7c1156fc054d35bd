"""What the engine refuses. Each error is raised before anything has changed."""

# ruff: noqa: N818 - named as the condition they state, like the field's own words


class UnknownMarket(LookupError):
    """An event names a market that this engine does not hold."""


class DuplicateOrder(ValueError):
    """An order with this id is already in the book."""


class CrossedBook(ValueError):
    """A restored order would trade with the other side, so it cannot have been resting."""


class PriceHasCome(ValueError):
    """A restored stop order waits for a price that its market has had."""

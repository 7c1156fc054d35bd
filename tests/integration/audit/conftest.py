"""The fixtures of `damage`: books that a test may damage."""

from tests.integration.audit.damage import books, damaged

__all__ = ["books", "damaged"]

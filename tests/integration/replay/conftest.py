"""The fixtures of the audit's tests: books that a test may damage."""

from tests.integration.audit.damage import books, damaged

__all__ = ["books", "damaged"]

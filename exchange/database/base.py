"""The database backend: Django's own for Postgres, without a log of statements in memory."""

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper


class DatabaseWrapper(PostgresWrapper):
    """A connection that keeps its last 9,000 statements only for who asks for them.

    Django keeps them wherever `DEBUG` is on, as on everybody's laptop, and forgets them at the next
    request. A worker has no requests, and its statements are a few hundred kilobytes each.
    """

    @property
    def queries_logged(self) -> bool:
        """Return whether statements are kept: while a test counts them."""
        return self.force_debug_cursor

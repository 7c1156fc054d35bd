"""The one error of this package. Its message says what went wrong and what the user can do."""


class ServerError(RuntimeError):
    """A server cannot be prepared, started or reached."""

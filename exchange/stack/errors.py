"""The error of the stack. Its message says what went wrong and what the user can do."""


class StackError(RuntimeError):
    """The stack cannot be started, or is not running."""

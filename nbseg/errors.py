"""The error for problems that a user can solve, in contrast to bugs."""


class StageError(ValueError):
    """A stage cannot run with its config and files; the message says what to do."""

"""The error that a user can act on, told apart from a bug's."""


class StageError(ValueError):
    """A stage cannot run, or be kept, with what it is given; the message says what to do."""

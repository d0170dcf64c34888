"""Define ``StageError`` for problems that a user can solve, and the build command of nbseg."""

# This command builds the compiled functions; run it in nbseg's source folder.
BUILD = "pip install --no-build-isolation -e ."


class StageError(ValueError):
    """Reports a problem with a config or a file; the message says what the user can do."""

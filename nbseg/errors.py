"""The error for problems that a user can solve, in contrast to bugs, and how to build nbseg."""

# Builds the compiled functions, in nbseg's source folder.
BUILD = "pip install --no-build-isolation -e ."


class StageError(ValueError):
    """A stage cannot run with its config and files; the message says what to do."""

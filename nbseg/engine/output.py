"""Write the output of a process to a log, and find in the log why the process failed."""

import os
import re
import sys
from pathlib import Path

# Matches log lines that state the cause of a failure. Signal 15 is never the cause: after one
# process has failed, the launcher sends this signal to the other processes.
CAUSE = re.compile(
    r"(?P<process>\[rank\d+\]: ?)?"
    r"(train\.py: |(?!.*ChildFailed)[\w.]*(Error|Exception)\b|traceback : Signal (?!15 ))"
)


def redirect_output(log: Path) -> None:
    """Append everything that this process and its children print from now on to a log."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))


def cause_of_failure(log: Path, start: int) -> str:
    """Return the log line that states the cause of a failure.

    If several processes failed, only the lines of the first failed process count, because its
    failure made the other processes fail.

    Args:
        log: the log, which need not exist.
        start: number of bytes at the beginning of the log to skip.

    Returns:
        The line. If no line states a cause, the last line of the log; if there is no line at all,
        "no output".
    """
    content = log.read_bytes()[start:] if log.exists() else b""
    # Cut off what the interpreter prints while it shuts down.
    text = content.decode(errors="replace").split("\nException ignored")[0]
    lines = [line.strip() for line in text.split("\n") if line.strip()] or ["no output"]
    found = [match for line in lines if (match := CAUSE.match(line))]
    first = [match.string for match in found if match["process"] == found[0]["process"]]
    return first[-1] if first else lines[-1]

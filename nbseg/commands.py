"""Add commands to a tool, such as ``coverage`` to ``tools/analyze.py``."""

import argparse
from collections.abc import Callable


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    run: Callable[[argparse.Namespace], None],
    text: str,
    epilog: str,
    name: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command to a tool, and return the command's parser.

    Args:
        commands: the result of ``ArgumentParser.add_subparsers``.
        run: function that runs the command; the parsed arguments contain it as ``run``.
        text: one-line help, which begins with a small letter.
        epilog: examples, which the help shows last.
        name: name of the command; None for the name of the function ``run``.
    """
    command = commands.add_parser(
        name or run.__name__,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command

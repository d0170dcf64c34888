"""Run tools in this process, which imports nothing again."""

import contextlib
import runpy
import sys


def run_tool(script, arguments, stdout, stderr):
    """Run a tool that writes to two streams, or one for both; return its exit status."""
    before = sys.argv
    sys.argv = [str(script), *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            stderr.write(leaving.code)
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    finally:
        sys.argv = before
    return 0

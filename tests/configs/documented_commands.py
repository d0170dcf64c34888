"""Reads the commands of a README as bash passes them to tools/train.py."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
STUBS = r"""
python() { printf '%s\037' "$@"; echo; }
tools/dist_train.sh() { local config=$1; shift 2; python tools/train.py "$config" "$@"; }
"""


def documented_commands(readme):
    """Return the parsed arguments of each command on a page, in order.

    Args:
        readme: path of the page. Its commands are in ``bash`` fences, or else in indented blocks.

    Returns:
        An argparse namespace for each run of tools/train.py or tools/dist_train.sh.
    """
    text = (REPOSITORY / readme).read_text(encoding="utf-8")
    script = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)) or "\n".join(
        line[4:] for line in text.splitlines() if line.startswith("    ")
    )
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", STUBS + script],
        capture_output=True,
        text=True,
        check=True,
    )
    parse = runpy.run_path(str(REPOSITORY / "tools" / "train.py"))["parse_arguments"]
    commands = []
    for line in printed.stdout.splitlines():
        tool, *arguments = line.rstrip("\037").split("\037")
        assert tool == "tools/train.py"
        with mock.patch.object(sys, "argv", [tool, *arguments]):
            command = parse()
        assert (REPOSITORY / command.config).is_file()
        commands.append(command)
    return commands

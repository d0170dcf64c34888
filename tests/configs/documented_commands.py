"""The commands of a README, as bash hands them to the tool."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]


def documented_commands(readme):
    """Arguments of each ``tools/dist_train.sh`` in the indented blocks, without the GPUs."""
    text = (REPOSITORY / readme).read_text()
    block = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    script = 'tools/dist_train.sh() { printf "%s\\t" "$@"; echo; }\n' + block
    printed = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    commands = [line.rstrip("\t").split("\t") for line in printed.stdout.splitlines()]
    assert len(commands) == len(re.findall(r"^    tools/dist_train", text, re.MULTILINE))
    return [[config, *options] for config, _, *options in commands]


def parse(command):
    """What tools/train.py understands: an argparse namespace."""
    tool = runpy.run_path(str(REPOSITORY / "tools" / "train.py"))
    with mock.patch.object(sys, "argv", ["train.py", *command]):
        return tool["parse_arguments"]()

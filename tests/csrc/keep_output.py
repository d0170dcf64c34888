"""Compiler launcher that keeps the compiler's output beside the object file, as NAME.o.log.

A later build that finds the object up to date does not compile it, and so prints nothing.
"""

import subprocess
import sys
from pathlib import Path

command = sys.argv[1:]
result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
sys.stdout.write(result.stdout)
if "-o" in command:
    Path(command[command.index("-o") + 1] + ".log").write_text(result.stdout)
sys.exit(result.returncode)

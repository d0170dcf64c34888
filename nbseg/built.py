"""Exit with a message of one line, on import, if nbseg's C++ extension is not built."""

import sys
from pathlib import Path

from nbseg.errors import BUILD

try:
    import nbseg._native  # noqa: F401
except ImportError as error:
    sys.exit(
        f"{Path(sys.argv[0]).name}: nbseg is not built ({error}). In nbseg's source folder, run "
        f"this command with this Python's pip (torch must be installed): {BUILD}"
    )

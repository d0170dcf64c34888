"""Importing this module ends a tool in one line where nbseg's compiled functions are missing."""

import sys
from pathlib import Path

from nbseg.errors import BUILD

try:
    import nbseg._native  # noqa: F401
except ImportError as error:
    sys.exit(
        f"{Path(sys.argv[0]).name}: nbseg is not built ({error}). In nbseg's source folder, with "
        f"this Python's pip (torch must be installed): {BUILD}"
    )

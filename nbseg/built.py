"""On import, end the program with a one-line message if nbseg's C++ extension is not built."""

import sys
from pathlib import Path

from nbseg.errors import BUILD

try:
    import nbseg._native  # noqa: F401
except ImportError as error:
    sys.exit(
        f"{Path(sys.argv[0]).name}: nbseg is not built ({error}). Install torch. Then build nbseg "
        f"in its source folder with the command: {sys.executable} -m {BUILD}"
    )

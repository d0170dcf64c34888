"""Print the packages that the given extras in pyproject.toml need, one per line.

The list serves to install these packages without nbseg:

python tools/extras.py train export deploy test dev | pip install --no-build-isolation -r /dev/stdin
"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")

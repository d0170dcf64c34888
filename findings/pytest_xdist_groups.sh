#!/usr/bin/env bash
# pytest 9.2.0 with pytest-xdist 3.8.0: `--dist loadgroup` no longer groups, without a warning.
#
# A good engineer expects tests that share an `xdist_group` mark to run in one process, so that a
# session fixture which takes minutes is made once. pytest-xdist 3.8.0 tells its scheduler the group
# by assigning to `item._nodeid`; pytest 9.2.0 keeps the id under another name, so that assignment
# changes nothing and every test is sent to whichever process is free. With pytest 9.1.1 the same
# files run in one process per group.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64):
#   pytest 9.1.1: processes of group "a": 1, of group "b": 1
#   pytest 9.2.0: processes of group "a": 2, of group "b": 2
# The script fails if either line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
cat > test_groups.py <<'PY'
import os
import time

import pytest


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("group", [pytest.param(g, marks=pytest.mark.xdist_group(g)) for g in "ab"])
def test_process(group, number):
    time.sleep(0.2)
    with open(f"processes-{group}.txt", "a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']}\n")
PY
for version in 9.1.1 9.2.0; do
  env/bin/pip install -q --disable-pip-version-check "pytest==$version" pytest-xdist==3.8.0
  rm -f processes-*.txt
  env/bin/python -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_groups.py > /dev/null
  counts=()
  for group in a b; do counts+=("$(sort -u "processes-$group.txt" | wc -l)"); done
  echo "pytest $version: processes of group \"a\": ${counts[0]}, of group \"b\": ${counts[1]}"
  case "$version:${counts[*]}" in
    "9.1.1:1 1" | "9.2.0:2 2") ;;
    *) echo "the behavior has changed" >&2; exit 1 ;;
  esac
done

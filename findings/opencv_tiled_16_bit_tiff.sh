#!/usr/bin/env bash
# OpenCV 4.12.0 and 5.0.0: a tiled 16-bit gray TIFF is read with wrong pixels at the right border.
#
# A good engineer expects that cv2.imread either decodes a valid TIFF or returns None. If the width
# is no multiple of the tiles' width (as in OME-TIFF and cloud-optimized GeoTIFF, whose tiles are
# often 256 or 512 wide), IMREAD_COLOR (the default) and IMREAD_GRAYSCALE scramble the last column of
# tiles, without a warning. With IMREAD_ANYDEPTH the pixels are right, and so are 8-bit files.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64), 80 x 80 pixels in tiles of 32 x 32:
#   OpenCV 4.12.0: 16 bits: COLOR 19% wrong, GRAYSCALE 19% wrong, ANYDEPTH 0% wrong; 8 bits: COLOR 0% wrong
#   OpenCV 5.0.0: 16 bits: COLOR 19% wrong, GRAYSCALE 19% wrong, ANYDEPTH 0% wrong; 8 bits: COLOR 0% wrong
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
cat > read.py <<'PY'
import cv2
import numpy as np
import tifffile

gray = np.random.RandomState(0).randint(0, 65536, (80, 80), np.uint16)
eight = (gray >> 8).astype(np.uint8)
tifffile.imwrite("gray16.tif", gray, tile=(32, 32))
tifffile.imwrite("gray8.tif", eight, tile=(32, 32))


def wrong(name, flag, stored):
    read = cv2.imread(name, getattr(cv2, f"IMREAD_{flag}"))
    read = read if read.ndim == 2 else read[..., 0]
    return f"{flag} {(read != stored).mean():.0%} wrong"


print(
    f"OpenCV {cv2.__version__}: 16 bits: {wrong('gray16.tif', 'COLOR', eight)}, "
    f"{wrong('gray16.tif', 'GRAYSCALE', eight)}, {wrong('gray16.tif', 'ANYDEPTH', gray)}; "
    f"8 bits: {wrong('gray8.tif', 'COLOR', eight)}"
)
PY
for version in 4.12.0 5.0.0; do
  build=$([ $version = 4.12.0 ] && echo 88 || echo 93)
  env/bin/pip install -q --disable-pip-version-check "opencv-python-headless==$version.$build" \
    numpy==2.2.6 tifffile==2026.3.3
  env/bin/python read.py | tee output
  grep -qxF "OpenCV $version: 16 bits: COLOR 19% wrong, GRAYSCALE 19% wrong, ANYDEPTH 0% wrong; \
8 bits: COLOR 0% wrong" output || { echo "the behavior has changed" >&2; exit 1; }
done

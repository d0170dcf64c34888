#!/usr/bin/env bash
# OpenCV 4.12.0 and 5.0.0: IMREAD_COLOR multiplies the colors of a TIFF by its alpha, not of a PNG.
#
# A good engineer expects that dropping the fourth channel leaves the other three as they are, in
# any format. OpenCV does so for PNG and WebP. For a TIFF whose fourth sample is marked as
# unassociated alpha, which is how Pillow writes RGBA, it returns colors times alpha, and with
# IMREAD_UNCHANGED as well. Satellite images with a near-infrared band are often marked that way:
# they become darker, and black where that band is 0.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64), red 200, green 100, blue 50, alpha 128:
#   OpenCV 4.12.0: png COLOR 200 100 50; tif COLOR 100 50 25; tif UNCHANGED 100 50 25 128
#   OpenCV 5.0.0: png COLOR 200 100 50; tif COLOR 100 50 25; tif UNCHANGED 100 50 25 128
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
cat > read.py <<'PY'
import cv2
from PIL import Image

picture = Image.new("RGBA", (4, 4), (200, 100, 50, 128))
picture.save("picture.png")
picture.save("picture.tif")
assert Image.open("picture.tif").getpixel((0, 0)) == (200, 100, 50, 128)


def first(name, flag):
    blue, green, red, *alpha = cv2.imread(name, getattr(cv2, f"IMREAD_{flag}"))[0, 0].tolist()
    return " ".join(str(value) for value in (name[-3:], flag, red, green, blue, *alpha))


print(
    f"OpenCV {cv2.__version__}: {first('picture.png', 'COLOR')}; {first('picture.tif', 'COLOR')}; "
    f"{first('picture.tif', 'UNCHANGED')}"
)
PY
for version in 4.12.0 5.0.0; do
  build=$([ $version = 4.12.0 ] && echo 88 || echo 93)
  env/bin/pip install -q --disable-pip-version-check "opencv-python-headless==$version.$build" \
    numpy==2.2.6 pillow==13.0.0
  env/bin/python read.py | tee output
  grep -qxF "OpenCV $version: png COLOR 200 100 50; tif COLOR 100 50 25; tif UNCHANGED 100 50 25 128" \
    output || { echo "the behavior has changed" >&2; exit 1; }
done

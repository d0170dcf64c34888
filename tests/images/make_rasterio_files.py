"""Write the files of ``rasterio/``; needs rasterio, which no test needs.

pip install rasterio==1.4.4 && python tests/images/make_rasterio_files.py
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.shutil import copy as copy_raster

sys.path.insert(0, str(Path(__file__).parent))
from tiff_files import GRAY12, GRAY16, HEIGHT, RGB8, RGB16, WIDTH, ramp

FOLDER = Path(__file__).parent / "rasterio"
TILES = {"tiled": True, "blockxsize": 32, "blockysize": 32}


def write(name: str, bands: np.ndarray, mask: np.ndarray | None = None, **options: object) -> None:
    """Write (bands, H, W) as a GeoTIFF."""
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": len(bands)}
    profile |= {"dtype": bands.dtype, **options}
    with rasterio.open(FOLDER / name, "w", **profile) as file:
        file.write(bands)
        if mask is not None:
            file.write_mask(mask)


def write_cog(name: str, bands: np.ndarray, **options: object) -> None:
    """Write (bands, H, W) as a cloud-optimized GeoTIFF with overviews."""
    write("temporary.tif", bands)
    source = FOLDER / "temporary.tif"
    copy_raster(source, FOLDER / name, driver="COG", blocksize=128, **options)
    source.unlink()


FOLDER.mkdir(exist_ok=True)
RGB = np.moveaxis(RGB8, -1, 0)
FOUR = np.concatenate([RGB, ramp(4)[None].astype(np.uint8)])
FOUR16 = np.concatenate([np.moveaxis(RGB16, -1, 0), ramp(4, 65535)[None].astype(np.uint16)])
HEIGHTS = ramp(0, 2000)[None] - 500
SPARSE = RGB.copy()
SPARSE[:, :64] = 0
write("rgb.tif", RGB, photometric="RGB")
write("rgbn.tif", FOUR)
write("rgbn_tiles.tif", FOUR, compress="deflate", **TILES)
write("rgbn16.tif", FOUR16)
write("gray16_tiles.tif", GRAY16[None], compress="lzw", predictor=2, **TILES)
write_cog("cog16.tif", GRAY16[None], compress="deflate", overview_count=1)
write_cog("cog_jpeg.tif", RGB, compress="jpeg", quality=95)
write("nbits12.tif", GRAY12[None], nbits=12)
write("heights.tif", HEIGHTS.astype(np.int16), compress="zstd", **TILES)
write("nodata.tif", GRAY16[None], nodata=0)
with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
    write("mask.tif", RGB, mask=(ramp() > 40).astype(np.uint8) * 255, photometric="RGB")
write("lerc.tif", HEIGHTS.astype(np.float32), compress="lerc", **TILES)
write("planar.tif", RGB, interleave="band", photometric="RGB", **TILES)
JPEG = {"compress": "jpeg", "jpeg_quality": 95}
write("jpeg_bands.tif", RGB, photometric="MINISBLACK", **JPEG)
write("jpeg_planar.tif", RGB, photometric="RGB", interleave="band", **JPEG)
write("sparse.tif", SPARSE, sparse_ok=True, photometric="RGB", **TILES)

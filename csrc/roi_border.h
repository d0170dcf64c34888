#pragma once

namespace nbseg {

// Writes a value to pixel (i, j) of a RoI, and the border value to the border pixels next to it.
// The RoI is stored with a border of one pixel, so its rows have size + 2 pixels.
template <typename Real>
__device__ void write_with_border(Real* p, int size, int i, int j, Real value, Real border) {
#pragma unroll 1  // almost always one iteration
  for (int y = i == 0 ? 0 : i + 1; y <= (i == size - 1 ? size + 1 : i + 1); ++y) {
#pragma unroll 1
    for (int x = j == 0 ? 0 : j + 1; x <= (j == size - 1 ? size + 1 : j + 1); ++x) {
      p[y * (size + 2) + x] = y == i + 1 && x == j + 1 ? value : border;
    }
  }
}

}  // namespace nbseg

// nbseg._native: the functions that need neither torch nor CUDA, for NumPy arrays.
#include "module.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "Functions of nbseg that need NumPy only.";
  nbseg::bind_paste_rle(module);
  nbseg::bind_mask_crops(module);
}

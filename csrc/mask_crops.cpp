#include "mask_crops.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "rle_runs.h"

namespace nbseg {
namespace {

// Sets the bits [first, end) to 1. Bit 0 is the lowest bit of the first byte.
void set_bits(uint8_t* bytes, int64_t first, int64_t end) {
  const auto head = static_cast<uint8_t>(0xff << (first % 8));
  const auto tail = static_cast<uint8_t>(0xff >> (7 - (end - 1) % 8));
  uint8_t* from = bytes + first / 8;
  uint8_t* to = bytes + (end - 1) / 8;
  if (from == to) {
    *from |= head & tail;
    return;
  }
  *from |= head;
  std::fill(from + 1, to, uint8_t{0xff});
  *to |= tail;
}

// Transposes a block of 8 x 8 bits: swaps bit 8 i + j with bit 8 j + i (Warren, Hacker's Delight,
// section 7-3).
uint64_t transpose(uint64_t block) {
  uint64_t t = (block ^ (block >> 7)) & 0x00aa00aa00aa00aa;
  block ^= t ^ (t << 7);
  t = (block ^ (block >> 14)) & 0x0000cccc0000cccc;
  block ^= t ^ (t << 14);
  t = (block ^ (block >> 28)) & 0x00000000f0f0f0f0;
  return block ^ t ^ (t << 28);
}

void append(MaskCrops& out, int64_t x, int64_t y, int64_t w, int64_t h) {
  out.starts.push_back(static_cast<int64_t>(out.bits.size()));
  for (const int64_t value : {x, y, w, h}) out.crops.push_back(static_cast<int32_t>(value));
  out.bits.resize(out.bits.size() + h * crop_stride(w));
}

// Appends the crop of a mask's runs. Runs go along columns, but a crop's bytes go along rows. So
// the runs are first written to columns of bits, which are then transposed in blocks of 8 x 8.
void append_runs(const std::vector<Run>& runs, int64_t height, std::vector<uint8_t>& columns,
                 MaskCrops& out) {
  if (runs.empty()) return append(out, 0, 0, 0, 0);
  const int64_t x0 = runs.front().first / height;
  const int64_t x1 = (runs.back().second - 1) / height + 1;
  int64_t y0 = height, y1 = 0;
  for (const auto& [begin, end] : runs) {
    const bool crosses =
        begin / height != (end - 1) / height;  // touches the image's top and bottom
    y0 = std::min(y0, crosses ? 0 : begin % height);
    y1 = std::max(y1, crosses ? height : (end - 1) % height + 1);
  }
  const int64_t w = x1 - x0, h = y1 - y0;
  const int64_t stride = crop_stride(w), column_stride = crop_stride(h);
  columns.assign(8 * stride * column_stride, 0);
  for (const auto& [begin, end] : runs) {
    for (int64_t pixel = begin; pixel < end;) {
      const int64_t x = pixel / height;
      const int64_t bottom = std::min(end, (x + 1) * height);
      set_bits(columns.data() + (x - x0) * column_stride, pixel - x * height - y0,
               bottom - x * height - y0);
      pixel = bottom;
    }
  }
  append(out, x0, y0, w, h);
  uint8_t* bits = out.bits.data() + out.starts.back();
  for (int64_t byte = 0; byte < stride; ++byte) {
    for (int64_t band = 0; band < column_stride; ++band) {
      uint64_t block = 0;
      for (int k = 0; k < 8; ++k) {
        block |= uint64_t{columns[(8 * byte + k) * column_stride + band]} << (8 * k);
      }
      block = transpose(block);
      for (int64_t y = 8 * band; y < std::min(h, 8 * band + 8); ++y) {
        bits[y * stride + byte] = static_cast<uint8_t>(block >> (8 * (y % 8)));
      }
    }
  }
}

// Holds a byte's eight pixels as bytes of 0 and 1.
const std::array<uint64_t, 256>& byte_pixels() {
  static const std::array<uint64_t, 256> table = [] {
    std::array<uint64_t, 256> pixels{};
    for (int byte = 0; byte < 256; ++byte) {
      for (int k = 0; k < 8; ++k) pixels[byte] |= uint64_t((byte >> k) & 1) << (8 * k);
    }
    return pixels;
  }();
  return table;
}

// Holds the rows or columns of the new image that come from the crop's pixels [start, start +
// size).
struct Selected {
  int64_t first = 0;             // of the new image
  std::vector<int32_t> sources;  // from `first` on: a pixel of the crop, or its size for background

  void assign(const std::vector<int32_t>& indices, int64_t start, int64_t size) {
    const auto inside = [&](int32_t index) { return index >= start && index < start + size; };
    const auto begin = std::find_if(indices.begin(), indices.end(), inside);
    const auto end = std::find_if(indices.rbegin(), indices.rend(), inside).base();
    first = begin - indices.begin();
    sources.clear();
    for (auto index = begin; index < end; ++index) {
      sources.push_back(static_cast<int32_t>(inside(*index) ? *index - start : size));
    }
  }
  int64_t size() const { return static_cast<int64_t>(sources.size()); }
};

struct Scratch {
  Selected rows, columns;
  std::vector<uint8_t> source, row;  // pixels of one row
  std::vector<uint8_t> bits;         // the selected rows
};

void select_row(const uint8_t* bits, int64_t width, Scratch& scratch, uint8_t* out) {
  const std::array<uint64_t, 256>& pixels = byte_pixels();
  scratch.source.resize(8 * crop_stride(width) + 1);
  for (int64_t byte = 0; byte < crop_stride(width); ++byte) {
    std::memcpy(&scratch.source[8 * byte], &pixels[bits[byte]], 8);
  }
  scratch.source[width] = 0;  // the background
  const int64_t count = scratch.columns.size();
  scratch.row.assign(8 * crop_stride(count), 0);
  for (int64_t j = 0; j < count; ++j) scratch.row[j] = scratch.source[scratch.columns.sources[j]];
  for (int64_t byte = 0; byte < crop_stride(count); ++byte) {
    uint64_t eight;
    std::memcpy(&eight, &scratch.row[8 * byte], 8);
    out[byte] = static_cast<uint8_t>((eight * 0x0102040810204080) >> 56);
  }
}

// Appends the tight crop of h rows of bits whose corner lies at (x, y).
void append_tight(const uint8_t* bits, int64_t x, int64_t y, int64_t w, int64_t h, MaskCrops& out) {
  const int64_t stride = crop_stride(w);
  std::vector<uint8_t> any(stride);
  int64_t top = h, bottom = 0;
  for (int64_t i = 0; i < h; ++i) {
    uint8_t row = 0;
    for (int64_t byte = 0; byte < stride; ++byte) {
      row |= bits[i * stride + byte];
      any[byte] |= bits[i * stride + byte];
    }
    if (row != 0) {
      top = std::min(top, i);
      bottom = i + 1;
    }
  }
  if (bottom == 0) return append(out, 0, 0, 0, 0);
  const auto foreground = [&](int64_t column) { return (any[column / 8] >> (column % 8)) & 1; };
  int64_t left = 0, right = w;
  while (!foreground(left)) ++left;
  while (!foreground(right - 1)) --right;

  append(out, x + left, y + top, right - left, bottom - top);
  uint8_t* to = out.bits.data() + out.starts.back();
  const int64_t shift = left % 8, new_stride = crop_stride(right - left);
  for (int64_t i = top; i < bottom; ++i) {
    for (int64_t byte = 0; byte < new_stride; ++byte) {
      const int64_t from = left / 8 + byte;
      const int next = from + 1 < stride ? bits[i * stride + from + 1] : 0;
      *to++ = static_cast<uint8_t>(((next << 8) | bits[i * stride + from]) >> shift);
    }
  }
}

}  // namespace

MaskCrops crops_from_rle(const std::vector<std::string_view>& counts, int64_t height,
                         int64_t width) {
  MaskCrops out;
  std::vector<Run> runs;
  std::vector<uint8_t> columns;
  for (size_t g = 0; g < counts.size(); ++g) {
    if (!read_runs(counts[g], height * width, runs)) {
      throw std::invalid_argument("counts[" + std::to_string(g) + "] are not the run lengths of " +
                                  std::to_string(height) + " x " + std::to_string(width) +
                                  " pixels");
    }
    append_runs(runs, height, columns, out);
  }
  return out;
}

MaskCrops select_pixels(const MaskCropsView& masks, const std::vector<int32_t>& rows,
                        const std::vector<int32_t>& columns) {
  const auto check = [](const char* name, const std::vector<int32_t>& indices, int64_t size) {
    for (const int32_t index : indices) {
      if (index >= -1 && index < size) continue;
      throw std::invalid_argument(std::string(name) + " must be in [-1, " + std::to_string(size) +
                                  "), found " + std::to_string(index));
    }
  };
  check("rows", rows, masks.height);
  check("columns", columns, masks.width);
  MaskCrops out;
  Scratch scratch;
  for (int64_t g = 0; g < masks.instances; ++g) {
    const int32_t* crop = masks.crops + 4 * g;
    if (!crop_fits(crop, masks.starts[g], masks.bytes, masks.height, masks.width)) {
      throw std::invalid_argument("masks: the crop of instance " + std::to_string(g) +
                                  " does not fit its image or its bits");
    }
    const int64_t w = crop[2], h = crop[3];
    scratch.columns.assign(columns, crop[0], w);
    scratch.rows.assign(rows, crop[1], h);
    const int64_t stride = crop_stride(scratch.columns.size());
    const std::vector<int32_t>& sources = scratch.rows.sources;
    scratch.bits.assign(scratch.rows.size() * stride, 0);
    for (int64_t i = 0; i < scratch.rows.size(); ++i) {
      uint8_t* to = scratch.bits.data() + i * stride;
      if (i > 0 && sources[i] == sources[i - 1]) {
        std::copy_n(to - stride, stride, to);  // an enlarged mask repeats its rows
      } else if (sources[i] < h) {
        select_row(masks.bits + masks.starts[g] + sources[i] * crop_stride(w), w, scratch, to);
      }
    }
    append_tight(scratch.bits.data(), scratch.columns.first, scratch.rows.first,
                 scratch.columns.size(), scratch.rows.size(), out);
  }
  return out;
}

}  // namespace nbseg

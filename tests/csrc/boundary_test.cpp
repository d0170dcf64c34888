#include "boundary.h"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "rle_runs.h"
#include "rle_writer.h"

using namespace nbseg;

namespace {

// Pixels column by column.
using Bitmap = std::vector<int>;

std::string encode(const Bitmap& pixels) {
  RleWriter writer;
  const int count = static_cast<int>(pixels.size());
  for (int begin = 0; begin < count;) {
    int end = begin;
    while (end < count && pixels[end] == pixels[begin]) ++end;
    const int ends[] = {begin, end};
    if (pixels[begin]) writer.add(0, ends, 2);
    begin = end;
  }
  return writer.finish(count);
}

Bitmap decode(const std::string& counts, int64_t pixels) {
  Bitmap bitmap(pixels);
  std::vector<Run> runs;
  CHECK(read_runs(counts, pixels, runs));
  for (const auto& [begin, end] : runs) std::fill(&bitmap[begin], &bitmap[0] + end, 1);
  return bitmap;
}

// Pixels of the mask with background at most `dilation` rows and columns away.
Bitmap boundary_of(const Bitmap& mask, int height, int width, int dilation) {
  Bitmap boundary(mask.size());
  for (int x = 0; x < width; ++x) {
    for (int y = 0; y < height; ++y) {
      if (!mask[x * height + y]) continue;
      for (int i = x - dilation; i <= x + dilation; ++i) {
        for (int j = y - dilation; j <= y + dilation; ++j) {
          const bool inside = i >= 0 && i < width && j >= 0 && j < height;
          if (!inside || !mask[i * height + j]) boundary[x * height + y] = 1;
        }
      }
    }
  }
  return boundary;
}

void boundaries_equal_the_definition() {
  std::mt19937 random(0);
  const auto below = [&](int limit) { return static_cast<int>(random() % limit); };
  for (int round = 0; round < 400; ++round) {
    const int height = 1 + below(40), width = 1 + below(40);
    std::vector<Bitmap> masks;
    std::vector<std::string> counts;
    for (int mask = 0; mask < 3; ++mask) {
      Bitmap pixels(height * width, mask == 2);
      // Rectangles, cut out of the whole image in one of the masks, and single pixels.
      for (int part = 0; part < 5; ++part) {
        const int x0 = below(width), x1 = x0 + 1 + below(width - x0);
        const int y0 = below(height), y1 = y0 + 1 + below(part < 3 ? height - y0 : 1);
        for (int x = x0; x < (part < 3 ? x1 : x0 + 1); ++x) {
          for (int y = y0; y < y1; ++y) pixels[x * height + y] = mask != 2;
        }
      }
      masks.push_back(pixels);
      counts.push_back(encode(pixels));
    }
    const int dilation = 1 + below(6);
    const std::vector<std::string> found =
        boundary_rle({counts.begin(), counts.end()}, height, width, dilation);
    for (size_t i = 0; i < masks.size(); ++i) {
      const Bitmap expected = boundary_of(masks[i], height, width, dilation);
      CHECK(decode(found[i], height * width) == expected);
      CHECK(found[i] == encode(expected));
    }
  }
}

void empty_full_and_wide() {
  const Bitmap none(12), all(12, 1);
  for (const int64_t dilation : {int64_t{1}, int64_t{2}, int64_t{1} << 40}) {
    CHECK(boundary_rle({encode(none)}, 4, 3, dilation)[0] == encode(none));
    const Bitmap expected =
        boundary_of(all, 4, 3, static_cast<int>(std::min<int64_t>(dilation, 9)));
    CHECK(boundary_rle({encode(all)}, 4, 3, dilation)[0] == encode(expected));
  }
  CHECK(boundary_rle({""}, 0, 3, 1)[0] == encode({}));
  CHECK(boundary_rle({}, 4, 3, 1).empty());
}

void a_dilation_beyond_the_counters_is_refused() {
  const int side = 32769;
  RleWriter writer;
  const int ends[] = {0, side};
  for (int64_t column = 0; column < side; ++column) writer.add(column * side, ends, 2);
  const std::string all = writer.finish(int64_t{side} * side);
  bool refused = false;
  try {
    boundary_rle({all}, side, side, 16384);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
  CHECK(boundary_rle({all}, side, side, 16385)[0] == all);
}

void other_strings_are_refused() {
  bool refused = false;
  try {
    boundary_rle({encode(Bitmap(12)), "123"}, 4, 3, 1);
  } catch (const std::invalid_argument& error) {
    refused = std::string(error.what()).find("counts[1]") == 0;
  }
  CHECK(refused);
}

}  // namespace

int main() {
  boundaries_equal_the_definition();
  empty_full_and_wide();
  a_dilation_beyond_the_counters_is_refused();
  other_strings_are_refused();
}

#include "mask_crops.h"

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"

using namespace nbseg;

namespace {

std::vector<std::vector<int>> bitmap_of(const MaskCrops& masks, size_t g, int64_t height,
                                        int64_t width) {
  std::vector<std::vector<int>> bitmap(height, std::vector<int>(width));
  const int32_t* crop = &masks.crops[4 * g];
  for (int64_t y = 0; y < crop[3]; ++y) {
    for (int64_t x = 0; x < crop[2]; ++x) {
      const uint8_t byte = masks.bits[masks.starts[g] + y * crop_stride(crop[2]) + x / 8];
      bitmap[crop[1] + y][crop[0] + x] = (byte >> (x % 8)) & 1;
    }
  }
  return bitmap;
}

MaskCropsView view_of(const MaskCrops& masks, int64_t height, int64_t width) {
  return {masks.bits.data(),
          masks.starts.data(),
          masks.crops.data(),
          static_cast<int64_t>(masks.bits.size()),
          static_cast<int64_t>(masks.starts.size()),
          height,
          width};
}

void run_lengths_become_crops() {
  // 4 rows of 3 columns; column by column, runs of 1, 2, 3, 1 and 5 pixels, background first.
  //   . . .
  //   # . .
  //   # # .
  //   . . .
  const MaskCrops masks = crops_from_rle({"123O2", "<", "0<"}, 4, 3);
  CHECK((masks.crops == std::vector<int32_t>{0, 1, 2, 2, 0, 0, 0, 0, 0, 0, 3, 4}));
  CHECK((masks.starts == std::vector<int64_t>{0, 2, 2}));
  CHECK((masks.bits == std::vector<uint8_t>{0b01, 0b11, 0b111, 0b111, 0b111, 0b111}));
}

void other_strings_are_refused() {
  // The counts are too short, too long, truncated, unprintable, negative or endless.
  for (const char* counts : {"123", "12319", "123P", "1 2", "1N", ""}) {
    bool refused = false;
    try {
      crops_from_rle({counts}, 4, 3);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
  CHECK(crops_from_rle({""}, 0, 3).bits.empty());
}

void pixels_are_selected() {
  std::mt19937 random(0);
  for (int round = 0; round < 300; ++round) {
    const int64_t height = 1 + random() % 40, width = 1 + random() % 40;
    MaskCrops masks;
    masks.starts = {0};
    masks.crops = {0, 0, static_cast<int32_t>(width), static_cast<int32_t>(height)};
    masks.bits.resize(height * crop_stride(width));
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const bool foreground = random() % 8 == 0;
        masks.bits[y * crop_stride(width) + x / 8] |= foreground << (x % 8);
      }
    }
    std::vector<int32_t> rows(random() % 50), columns(random() % 50);
    for (int32_t& row : rows) row = static_cast<int32_t>(random() % (height + 1)) - 1;
    for (int32_t& column : columns) column = static_cast<int32_t>(random() % (width + 1)) - 1;

    // First with a crop of the whole image, then with the tight crop from selecting all pixels.
    std::vector<int32_t> all_rows(height), all_columns(width);
    for (int64_t y = 0; y < height; ++y) all_rows[y] = static_cast<int32_t>(y);
    for (int64_t x = 0; x < width; ++x) all_columns[x] = static_cast<int32_t>(x);
    const MaskCrops tight = select_pixels(view_of(masks, height, width), all_rows, all_columns);
    const auto before = bitmap_of(masks, 0, height, width);
    CHECK(bitmap_of(tight, 0, height, width) == before);
    for (const MaskCrops& from : {masks, tight}) {
      const MaskCrops selected = select_pixels(view_of(from, height, width), rows, columns);
      const auto after = bitmap_of(selected, 0, rows.size(), columns.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        for (size_t j = 0; j < columns.size(); ++j) {
          const bool inside = rows[i] >= 0 && columns[j] >= 0;
          CHECK(after[i][j] == (inside ? before[rows[i]][columns[j]] : 0));
        }
      }
    }
  }
}

}  // namespace

int main() {
  run_lengths_become_crops();
  other_strings_are_refused();
  pixels_are_selected();
}

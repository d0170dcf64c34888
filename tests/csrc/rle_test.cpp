#include "rle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "rle_writer.h"

using namespace nbseg;

namespace {

void counts_are_written_as_coco_writes_them() {
  const auto written = [](std::vector<int> ends, int pixels) {
    RleWriter writer;
    writer.add(0, ends.data(), static_cast<int>(ends.size()));
    return writer.finish(pixels);
  };
  CHECK(written({}, 0) == "0");
  CHECK(written({}, 7) == "7");
  CHECK(written({0, 7}, 7) == "07");
  // 16 needs a second group, because its highest bit would be read as a sign; 32 = 0 + 32 * 1.
  CHECK(written({}, 16) == "`0");
  CHECK(written({}, 32) == "P1");
  // Counts 5, 3, 2, 1: the last is stored as 1 - 3 = -2, the five bits 11110.
  CHECK(written({5, 8, 10, 11}, 11) == "532N");
}

// Writes a count group by group, as COCO's rleToString does.
std::string text_of(std::int64_t value) {
  std::string text;
  for (bool more = true; more;) {
    const int group = static_cast<int>(value & 0x1f);
    value >>= 5;
    more = (group & 0x10) ? value != -1 : value != 0;
    text += static_cast<char>((more ? group | 0x20 : group) + 48);
  }
  return text;
}

void counts_of_any_length_are_written() {
  RleWriter writer;  // writes one image after another
  for (int bits = 0; bits <= 30; ++bits) {
    for (const int beyond : {-1, 0, 1, 2}) {
      const int length = std::max((1 << bits) + beyond, 1);
      for (const auto& [second, fourth] : {std::pair{1, length}, {length, 1}}) {
        const int run[] = {0, second, second + 5, second + 5 + fourth};
        writer.add(3, run, 4);
        CHECK(writer.finish(std::int64_t{3} + run[3] + length) ==
              text_of(3) + text_of(second) + text_of(5) + text_of(fourth - second) +
                  text_of(length - 5));
      }
    }
  }
}

std::vector<bool> decode(const std::string& bytes) {
  std::vector<bool> pixels;
  std::vector<std::int64_t> counts;
  for (std::size_t at = 0; at < bytes.size();) {
    std::int64_t value = 0;
    for (int shift = 0;; shift += 5) {
      const int group = bytes[at++] - 48;
      value |= static_cast<std::int64_t>(group & 0x1f) << shift;
      if (group & 0x20) continue;
      if (group & 0x10) value -= std::int64_t{1} << (shift + 5);
      break;
    }
    if (counts.size() > 2) value += counts[counts.size() - 2];
    pixels.insert(pixels.end(), value, counts.size() % 2 == 1);
    counts.push_back(value);
  }
  return pixels;
}

void runs_that_touch_become_one() {
  std::mt19937 random(0);
  RleWriter writer;
  for (int count = 1; count < 200; ++count) {
    std::vector<bool> pixels(count);
    for (int begin = 0, end; begin < count; begin = end) {
      end = std::min<int>(begin + 1 + random() % 4, count);
      if (random() % 2 == 0) continue;
      std::fill(pixels.begin() + begin, pixels.begin() + end, true);
      const int run[] = {0, end - begin};
      writer.add(begin, run, 2);
    }
    const std::string bytes = writer.finish(count);
    CHECK(decode(bytes) == pixels);
    int changes = pixels[0] ? 2 : 1;
    for (int i = 1; i < count; ++i) changes += pixels[i] != pixels[i - 1];
    // A count ends with the first group without a continuation bit.
    const auto last = [](char byte) { return ((byte - 48) & 0x20) == 0; };
    CHECK(std::count_if(bytes.begin(), bytes.end(), last) == changes);
  }
}

PasteRleParams params_of(const std::vector<float>& probs, const std::vector<float>& boxes, int side,
                         int height, int width) {
  PasteRleParams params{};
  params.probs_float = probs.data();
  params.boxes = boxes.data();
  params.count = static_cast<std::int64_t>(boxes.size() / 4);
  params.side = side;
  params.height = height;
  params.width = width;
  params.threshold = 0.5f;
  params.num_threads = 1;
  return params;
}

void a_box_of_the_masks_size_keeps_the_mask() {
  const std::vector<float> probs{1, 0, 1, 1,  //
                                 0, 1, 1, 0,  //
                                 0, 0, 0, 1,  //
                                 1, 1, 0, 1};
  const int height = 6, width = 8, left = 3, top = 1;
  const std::vector<float> boxes{left, top, left + 4, top + 4};
  const auto rles = paste_rle(params_of(probs, boxes, 4, height, width));
  const std::vector<bool> pixels = decode(rles[0]);
  CHECK(pixels.size() == height * width);
  for (int x = 0; x < width; ++x) {
    for (int y = 0; y < height; ++y) {
      const bool inside = x >= left && x < left + 4 && y >= top && y < top + 4;
      CHECK(pixels[x * height + y] == (inside && probs[(y - top) * 4 + x - left] == 1));
    }
  }
}

// Returns the interpolated value at the center of a pixel, in double precision.
double value_at(const float* mask, int side, const float* box, int x, int y) {
  if (x < std::floor(box[0]) - 1 || x >= std::ceil(box[2]) + 1) return 0;
  if (y < std::floor(box[1]) - 1 || y >= std::ceil(box[3]) + 1) return 0;
  const double column = (x + 0.5 - box[0]) / (double(box[2]) - box[0]) * side - 0.5;
  const double row = (y + 0.5 - box[1]) / (double(box[3]) - box[1]) * side - 0.5;
  double value = 0;
  for (int j = 0; j < side; ++j) {
    for (int i = 0; i < side; ++i) {
      value += mask[j * side + i] * std::max(0.0, 1 - std::abs(i - column)) *
               std::max(0.0, 1 - std::abs(j - row));
    }
  }
  return value;
}

void pixels_agree_with_double_precision() {
  std::mt19937 random(0);
  std::uniform_real_distribution<float> uniform(0, 1);
  const int side = 7, height = 40, width = 60, count = 60;
  std::vector<float> probs(count * side * side), boxes;
  for (float& prob : probs) prob = uniform(random);
  for (int i = 0; i < count; ++i) {
    const float x = width * (1.4f * uniform(random) - 0.2f);
    const float y = height * (1.4f * uniform(random) - 0.2f);
    const float reach = std::exp(5 * uniform(random)) / 2;
    boxes.insert(boxes.end(), {x - reach, y - reach * uniform(random), x + reach, y + reach});
  }
  PasteRleParams params = params_of(probs, boxes, side, height, width);
  for (const bool fused : {false, true}) {
    params.fused = fused;
    params.num_threads = 1;
    const auto rles = paste_rle(params);
    params.num_threads = 3;
    CHECK(paste_rle(params) == rles);
    int foreground = 0;
    for (int i = 0; i < count; ++i) {
      const std::vector<bool> pixels = decode(rles[i]);
      CHECK(pixels.size() == height * width);
      for (int x = 0; x < width; ++x) {
        for (int y = 0; y < height; ++y) {
          const double value = value_at(&probs[i * side * side], side, &boxes[4 * i], x, y);
          foreground += pixels[x * height + y];
          if (std::abs(value - 0.5) < 1e-4) continue;
          CHECK(pixels[x * height + y] == (value > 0.5));
        }
      }
    }
    CHECK(foreground > 1000);
  }
}

void meaningless_values_are_refused_by_index() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> good_probs(2 * 4, 1.0f), good_boxes{0, 0, 4, 4, 1, 1, 5, 5};
  const auto message = [](const std::vector<float>& probs, const std::vector<float>& boxes) {
    try {
      paste_rle(params_of(probs, boxes, 2, 10, 10));
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message(good_probs, good_boxes).empty());
  for (int k = 0; k < 4; ++k) {
    std::vector<float> boxes = good_boxes;
    boxes[4 + k] = nan;
    CHECK(message(good_probs, boxes).find("boxes[1]") == 0);
  }
  CHECK(message(good_probs, {0, 0, 4, 4, 8, 1, 2, 5}).find("boxes[1]") == 0);
  for (const float value : {nan, -0.5f, 1.5f}) {
    std::vector<float> probs = good_probs;
    probs[6] = value;
    CHECK(message(probs, good_boxes).find("probs[1]") == 0);
  }
}

}  // namespace

int main() {
  counts_are_written_as_coco_writes_them();
  counts_of_any_length_are_written();
  runs_that_touch_become_one();
  a_box_of_the_masks_size_keeps_the_mask();
  pixels_agree_with_double_precision();
  meaningless_values_are_refused_by_index();
}

// Reads the foreground runs of COCO's compressed run lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace nbseg {

// A run's first pixel and the pixel past its last. Pixels are numbered column by column.
using Run = std::pair<int64_t, int64_t>;

// Decodes the foreground runs of COCO's compressed counts. Returns false if the counts are invalid
// or do not cover all pixels exactly.
inline bool read_runs(std::string_view counts, int64_t pixels, std::vector<Run>& runs) {
  runs.clear();
  int64_t last = 0, last_but_one = 0, end = 0;
  size_t position = 0;
  for (int64_t index = 0; position < counts.size(); ++index) {
    int64_t count = 0;
    bool more = true;
    for (int shift = 0; more; shift += 5) {
      if (position == counts.size() || shift > 55) return false;
      const int group = counts[position++] - 48;
      if (group < 0 || group > 63) return false;
      count |= static_cast<int64_t>(group & 0x1f) << shift;
      more = (group & 0x20) != 0;
      if (!more && (group & 0x10)) count -= int64_t{1} << (shift + 5);
    }
    // From the fourth count on, the difference to the count two places before is stored.
    if (index > 2) count += last_but_one;
    if (count < 0 || count > pixels - end) return false;
    if (index % 2 == 1 && count > 0) runs.emplace_back(end, end + count);
    end += count;
    last_but_one = std::exchange(last, count);
  }
  return end == pixels;
}

}  // namespace nbseg

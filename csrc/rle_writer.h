// Defines a writer of COCO's compressed run lengths that receives one run after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "host_device.h"

namespace nbseg {

// Writes the runs of column-major images as COCO's compressed counts. Counts are run lengths,
// background first. From the fourth run on, the difference to the run two places before is stored.
// Each number is a sequence of five-bit groups with a continuation bit, offset to printable
// characters.
class RleWriter {
 public:
  // Adds foreground runs: pixels [origin + ends[0], origin + ends[1]), [origin + ends[2], ...
  // `count` is even, the ends ascend, and no run begins before the end of an earlier one.
  NBSEG_INLINE void add(std::int64_t origin, const int* ends, int count) {
    if (count == 0) return;
    reserve(count);
    // Use local copies, which stay in registers: a write through char* could alias the members.
    Counts counts = counts_;
    char* out = bytes_.data() + size_;
    int i = 0;
    if (origin + ends[0] == open_end_) {
      i = 1;
    } else if (open_end_ >= 0) {
      out = counts.write(open_end_, out);
    }
    for (; i < count - 1; ++i) out = counts.write(origin + ends[i], out);
    open_end_ = origin + ends[count - 1];
    size_ = out - bytes_.data();
    counts_ = counts;
  }

  // Returns the counts of an image with that many pixels, and resets the writer for the next image.
  std::string finish(std::int64_t pixels) {
    reserve(2);
    char* out = bytes_.data() + size_;
    if (open_end_ >= 0) out = counts_.write(open_end_, out);
    if (counts_.written < pixels || counts_.index == 0) out = counts_.write(pixels, out);
    open_end_ = -1;
    size_ = 0;
    counts_ = {};
    return std::string(bytes_.data(), out);
  }

 private:
  struct Counts {
    std::int64_t written = 0;  // pixels
    std::int64_t index = 0, last = 0, last_but_one = 0;

    // Ends the run at this pixel; returns where the next count goes.
    NBSEG_INLINE char* write(std::int64_t end, char* out) {
      const std::int64_t count = end - written;
      std::int64_t rest = index > 2 ? count - last_but_one : count;
      last_but_one = last;
      last = count;
      written = end;
      ++index;
      const std::int64_t magnitude = rest ^ (rest >> 63);
      if (magnitude < 1 << 19) {
        // Writes up to four groups at once: a branch on their number would be mispredicted.
        const int more = (magnitude >= 1 << 4) + (magnitude >= 1 << 9) + (magnitude >= 1 << 14);
        const std::uint32_t bits = static_cast<std::uint32_t>(rest);
        const std::uint32_t groups =
            (bits & 0x1f) | (bits & 0x3e0) << 3 | (bits & 0x7c00) << 6 | (bits & 0xf8000) << 9;
        const std::uint32_t continued = 0x202020u & ((1u << 8 * more) - 1);
        const std::uint32_t text = (groups | continued) + 0x30303030u;
        for (int k = 0; k < 4; ++k) out[k] = static_cast<char>(text >> (8 * k));
        return out + more + 1;
      }
      bool more = true;
      while (more) {
        const int group = static_cast<int>(rest & 0x1f);
        rest >>= 5;
        more = (group & 0x10) ? rest != -1 : rest != 0;
        *out++ = static_cast<char>((more ? group | 0x20 : group) + '0');
      }
      return out;
    }
  };

  void reserve(std::size_t counts) {
    constexpr std::size_t most_bytes = 8;
    if (bytes_.size() < size_ + counts * most_bytes) {
      bytes_.resize(2 * (size_ + counts * most_bytes));
    }
  }

  std::vector<char> bytes_;
  std::size_t size_ = 0;
  Counts counts_;
  std::int64_t open_end_ = -1;  // of the last run, which the next run may extend
};

}  // namespace nbseg

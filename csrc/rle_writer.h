// COCO's compressed run lengths, written run by run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace nbseg {

// Writes the foreground runs of a column-major image as COCO's compressed counts: run lengths,
// background first, from the fourth on as the difference to the last but one, in groups of five
// bits with a continuation bit, offset to printable characters.
class RleWriter {
 public:
  explicit RleWriter(std::string& bytes) : bytes_(bytes) {}

  // Pixels [begin, end); begin must not lie before the end of the last call.
  void foreground(std::int64_t begin, std::int64_t end) {
    if (begin != end_) {
      flush();
      begin_ = begin;
    }
    end_ = end;
  }

  // Those of pixels [begin, end) whose flag is 1, not 0. The flags are read eight at a time and
  // `padding` bytes after them are overwritten.
  static constexpr int padding = 7;
  void foreground_where(std::uint8_t* flags, std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    std::fill_n(flags + count, padding, std::uint8_t{0});
    std::uint64_t before = 0;
    std::int64_t run = -1;  // where the run began that has not ended yet
    for (std::int64_t i = 0; i < count; i += 8) {
      std::uint64_t word = 0;
      for (int k = 0; k < 8; ++k) word |= std::uint64_t{flags[i + k]} << (8 * k);
      for (std::uint64_t changes = word ^ (word << 8 | before); changes; changes &= changes - 1) {
        const std::int64_t pixel = begin + i + __builtin_ctzll(changes) / 8;
        if (run < 0) {
          run = pixel;
        } else {
          foreground(run, pixel);
          run = -1;
        }
      }
      before = word >> 56;
    }
    if (run >= 0) foreground(run, end);
  }

  // Call it once, with the image's size.
  void finish(std::int64_t pixels) {
    flush();
    if (written_ < pixels || index_ == 0) push(pixels - written_);
  }

 private:
  void flush() {
    if (begin_ == end_) return;
    push(begin_ - written_);
    push(end_ - begin_);
    written_ = end_;
  }

  void push(std::int64_t count) {
    std::int64_t rest = index_ > 2 ? count - previous_[index_ % 2] : count;
    previous_[index_ % 2] = count;
    ++index_;
    bool more = true;
    while (more) {
      const int group = static_cast<int>(rest & 0x1f);
      rest >>= 5;
      more = (group & 0x10) ? rest != -1 : rest != 0;
      bytes_.push_back(static_cast<char>((more ? group | 0x20 : group) + '0'));
    }
  }

  std::string& bytes_;
  std::int64_t begin_ = 0, end_ = 0, written_ = 0;
  std::int64_t previous_[2] = {0, 0};
  std::size_t index_ = 0;
};

}  // namespace nbseg

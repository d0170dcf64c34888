// COCO's compressed run lengths, written run by run.
#pragma once

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

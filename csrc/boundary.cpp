#include "boundary.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "rle_runs.h"
#include "rle_writer.h"

namespace nbseg {
namespace {

// Counts columns up to 2 * dilation + 1. Small numbers fit into more lanes of a vector.
using Streak = int16_t;

// The foreground rows [begin, end) of a part of a column.
struct Segment {
  int begin, end;
};

// A mask as the segments of its columns. The segments of column x0 + i are
// segments[starts[i]], ..., segments[starts[i + 1] - 1].
struct Columns {
  int64_t x0 = 0;
  int y0 = 0, y1 = 0;  // rows of the foreground: [y0, y1)
  std::vector<Segment> segments;
  std::vector<size_t> starts;

  void assign(const std::vector<Run>& runs, int64_t height) {
    segments.clear();
    starts.clear();
    if (runs.empty()) return;
    x0 = runs.front().first / height;
    y0 = static_cast<int>(height);
    y1 = 0;
    for (const auto& [first, last] : runs) {
      for (int64_t pixel = first; pixel < last;) {
        const int64_t x = pixel / height;
        const int64_t bottom = std::min(last, (x + 1) * height);
        while (static_cast<int64_t>(starts.size()) <= x - x0) starts.push_back(segments.size());
        const Segment segment{static_cast<int>(pixel - x * height),
                              static_cast<int>(bottom - x * height)};
        segments.push_back(segment);
        y0 = std::min(y0, segment.begin);
        y1 = std::max(y1, segment.end);
        pixel = bottom;
      }
    }
    starts.push_back(segments.size());
  }
  int64_t count() const { return starts.empty() ? 0 : static_cast<int64_t>(starts.size()) - 1; }
};

// Writes the boundaries of masks, one after the other.
class BoundaryWriter {
 public:
  BoundaryWriter(int64_t height, int64_t width, int64_t dilation)
      : height_(height), pixels_(height * width), dilation_(static_cast<int>(dilation)) {}

  std::string write(const std::vector<Run>& runs) {
    columns_.assign(runs, height_);
    const int64_t count = columns_.count();
    const int rows = columns_.y1 - columns_.y0;
    // A pixel survives the erosion if the columns up to `dilation` away all have it at least
    // `dilation` rows away from their segments' ends: erode the columns, and count for each row how
    // many columns in succession have the row.
    const int64_t needed = int64_t{2} * dilation_ + 1;
    const bool survivors = count >= needed && rows >= needed;
    if (survivors && needed > std::numeric_limits<Streak>::max()) {
      throw std::invalid_argument("dilation is " + std::to_string(dilation_) + ", wanted at most " +
                                  std::to_string(std::numeric_limits<Streak>::max() / 2));
    }
    if (survivors) {
      eroded_.assign(rows, 0);
      streaks_.assign(rows, 0);
      survives_.assign(rows, 0);
    }
    for (int64_t column = 0; column < count + (survivors ? dilation_ : 0); ++column) {
      if (survivors) advance(column, needed);
      const int64_t done = survivors ? column - dilation_ : column;
      if (done >= 0) emit(done, survivors);
    }
    return writer_.finish(pixels_);
  }

 private:
  // Updates the streaks by a column, which is empty behind the last one.
  void advance(int64_t column, int64_t needed) {
    std::fill(eroded_.begin(), eroded_.end(), Streak{0});
    if (column < columns_.count()) {
      for (size_t i = columns_.starts[column]; i < columns_.starts[column + 1]; ++i) {
        const Segment& segment = columns_.segments[i];
        const int begin = segment.begin + dilation_, end = segment.end - dilation_;
        if (begin < end) std::memset(&eroded_[begin - columns_.y0], 0xff, 2 * (end - begin));
      }
    }
    const size_t rows = eroded_.size();
    const auto enough = static_cast<Streak>(needed);
    Streak* streaks = streaks_.data();
    const Streak* eroded = eroded_.data();
    for (size_t row = 0; row < rows; ++row) {
      const auto longer = static_cast<Streak>(streaks[row] + 1);
      streaks[row] = std::min(longer, enough) & eroded[row];
    }
    uint8_t* survives = survives_.data();
    for (size_t row = 0; row < rows; ++row) survives[row] = streaks[row] == enough;
  }

  // Writes the pixels of a column that do not survive.
  void emit(int64_t column, bool survivors) {
    ends_.clear();
    for (size_t i = columns_.starts[column]; i < columns_.starts[column + 1]; ++i) {
      const Segment& segment = columns_.segments[i];
      int row = segment.begin;
      const int last = segment.end - dilation_;
      int next = survivors ? segment.begin + dilation_ : last;
      while (next < last) {
        const int begin = find(1, next, last);
        if (begin == last) break;
        const int end = find(0, begin, last);
        ends_.push_back(row);
        ends_.push_back(begin);
        row = next = end;
      }
      ends_.push_back(row);
      ends_.push_back(segment.end);
    }
    writer_.add((columns_.x0 + column) * height_, ends_.data(), static_cast<int>(ends_.size()));
  }

  // Returns the first row in [begin, end) whose pixel survives (1) or does not (0), or `end`.
  int find(int value, int begin, int end) const {
    const uint8_t* from = &survives_[begin - columns_.y0];
    const void* found = std::memchr(from, value, end - begin);
    return found ? begin + static_cast<int>(static_cast<const uint8_t*>(found) - from) : end;
  }

  int64_t height_, pixels_;
  int dilation_;
  Columns columns_;
  // Of the current column, from row y0 on: all bits of a row in the eroded column are set.
  std::vector<Streak> eroded_, streaks_;
  std::vector<uint8_t> survives_;
  std::vector<int> ends_;
  RleWriter writer_;
};

}  // namespace

std::vector<std::string> boundary_rle(const std::vector<std::string_view>& counts, int64_t height,
                                      int64_t width, int64_t dilation) {
  // Wider boundaries are the whole mask, too.
  BoundaryWriter writer(height, width, std::min(dilation, std::max(height, width)));
  std::vector<Run> runs;
  std::vector<std::string> boundaries;
  boundaries.reserve(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    if (!read_runs(counts[i], height * width, runs)) {
      throw std::invalid_argument("counts[" + std::to_string(i) +
                                  "] does not hold the run lengths of " + std::to_string(height) +
                                  " x " + std::to_string(width) + " pixels");
    }
    boundaries.push_back(writer.write(runs));
  }
  return boundaries;
}

}  // namespace nbseg

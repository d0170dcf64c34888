#pragma once

#include <cstdint>
#include <functional>

namespace nbseg {

// Runs body(begin, end) on ranges that together cover [0, count), possibly at the same time.
// The caller of a kernel chooses the threads: torch's thread pool, or only the calling thread. The
// body must not throw.
using ParallelFor =
    std::function<void(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body)>;

}  // namespace nbseg

#pragma once

// Keep assert() active in release builds: as in PyTorch's index ops, a value out of range must stop
// the kernel. A check on the host would have to copy the value first.
#undef NDEBUG
#include <cassert>

// Asserts in device code. The compiler assumes that execution continues after a failed assert(), so
// it keeps registers live or spills them to the stack. __trap() tells it that execution ends.
#define NBSEG_DEVICE_ASSERT(condition) \
  do {                                 \
    if (!(condition)) {                \
      assert(condition);               \
      __trap();                        \
    }                                  \
  } while (false)

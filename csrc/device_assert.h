#pragma once

// Keeps assert() active in release builds: as in PyTorch's index ops, a value out of range must
// stop the kernel, without first copying the value to the host for a check.
#undef NDEBUG
#include <cassert>

// An assert for device code. The compiler assumes that execution continues after a failed assert()
// and keeps registers live for it, or spills them to the stack; __trap() ends execution.
#define NBSEG_DEVICE_ASSERT(condition) \
  do {                                 \
    if (!(condition)) {                \
      assert(condition);               \
      __trap();                        \
    }                                  \
  } while (false)

#pragma once

// The language's assert, also in a release build: a value out of range must end the program as it
// does in PyTorch's index ops, without a copy to the host to look at it first.
#undef NDEBUG
#include <cassert>

// An assert for device code. The compiler believes that a failed assert goes on there, and would
// keep all values for that, on the stack where registers run out; after a trap it does not.
#define NBSEG_DEVICE_ASSERT(condition) \
  do {                                 \
    if (!(condition)) {                \
      assert(condition);               \
      __trap();                        \
    }                                  \
  } while (false)

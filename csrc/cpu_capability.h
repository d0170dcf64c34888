#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace nbseg {

// Instruction sets that a kernel may have versions for, each with all of the ones before it.
enum class CpuCapability {
  kDefault,  // what every CPU has
  kAvx2,     // with FMA: x86-64-v3
  kAvx512,   // F, DQ and VL
};

// The widest that this CPU has, or what torch's environment variable ATEN_CPU_CAPABILITY (default,
// avx2, avx512) leaves of it; asked once in a process.
inline CpuCapability cpu_capability() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const CpuCapability capability = [] {
    CpuCapability widest = CpuCapability::kDefault;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      widest = CpuCapability::kAvx2;
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")) {
        widest = CpuCapability::kAvx512;
      }
    }
    if (const char* allowed = std::getenv("ATEN_CPU_CAPABILITY")) {
      if (!std::strcmp(allowed, "avx2")) return std::min(widest, CpuCapability::kAvx2);
      if (!std::strcmp(allowed, "default")) return CpuCapability::kDefault;
    }
    return widest;
  }();
  return capability;
#else
  return CpuCapability::kDefault;
#endif
}

}  // namespace nbseg

#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace nbseg {

// Instruction sets that a kernel may be compiled for. Each one includes those before it.
enum class CpuCapability {
  kDefault,  // supported by every CPU
  kAvx2,     // with FMA: x86-64-v3
  kAvx512,   // F, DQ and VL
};

// Returns the widest instruction set of this CPU that torch's environment variable
// ATEN_CPU_CAPABILITY (default, avx2 or avx512) allows. The result is determined once per process.
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

#if defined(__x86_64__) && defined(__GNUC__)
template <typename Body>
__attribute__((target("avx2,fma"))) void run_avx2(const Body& body) {
  body();
}

// Use vectors of 8 floats instead of 16: rows of 28 or 14 pixels then leave fewer pixels over.
// AVX-512 still helps, because it adds masks and doubles the number of registers.
template <typename Body>
__attribute__((target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=256"))) void run_avx512(
    const Body& body) {
  body();
}
#endif

// Calls body() in a version compiled for cpu_capability(). The body must be a lambda marked
// NBSEG_INLINE_LAMBDA and call only NBSEG_INLINE functions in its loops: only inlined code is
// compiled for the wider instruction set.
template <typename Body>
void run_at_cpu_capability(const Body& body) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (cpu_capability()) {
    case CpuCapability::kAvx512:
      return run_avx512(body);
    case CpuCapability::kAvx2:
      return run_avx2(body);
    default:
      break;
  }
#endif
  body();
}

}  // namespace nbseg

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "bpm_mask_loss.h"
#include "bpm_mask_loss_math.h"
#include "cpu_capability.h"

namespace nbseg {
namespace {

void check_labels(const int64_t* labels, int64_t rois, int64_t classes) {
  for (int64_t r = 0; r < rois; ++r) {
    if (labels[r] < 0 || labels[r] >= classes) {
      throw std::out_of_range("labels[" + std::to_string(r) + "] must be in [0, " +
                              std::to_string(classes) + "), found " + std::to_string(labels[r]));
    }
  }
}

// Working memory of one thread, all of one width: a loop that mixes widths is vectorised to the
// narrowest and runs out of registers.
template <typename Real>
struct Scratch {
  explicit Scratch(int64_t size)
      : x(size * size),
        t(size * size),
        e(size * size),
        p((size + 2) * (size + 2)),
        q(size * size) {}

  std::vector<Real> x;  // (S, S), logits
  std::vector<Real> t;  // (S, S), targets
  std::vector<Real> e;  // (S, S), exp(-|x|)
  std::vector<Real> p;  // (S + 2, S + 2), probability with its border
  std::vector<Real> q;  // (S, S), probability, then edge strength, then weighted cross-entropy
};

// A sum in 16 interleaved parts: vectorised, and in one order whatever the instruction set.
template <typename Real>
NBSEG_INLINE double sum(const Real* values, int64_t count) {
  Real parts[16] = {};
  int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    for (int n = 0; n < 16; ++n) parts[n] += values[k + n];
  }
  for (; k < count; ++k) parts[k % 16] += values[k];
  return std::accumulate(parts, parts + 16, 0.0);
}

template <typename Real>
NBSEG_INLINE double sum_of_squares(const Real* values, int64_t count) {
  Real parts[16] = {};
  int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    for (int n = 0; n < 16; ++n) parts[n] += values[k + n] * values[k + n];
  }
  for (; k < count; ++k) parts[k % 16] += values[k] * values[k];
  return std::accumulate(parts, parts + 16, 0.0);
}

template <typename Real>
NBSEG_INLINE void fill_border(Real* p, int64_t size, Border border, Real outside) {
  const int64_t width = size + 2;
  const auto value = [&](Real nearest) { return border == Border::kReplicate ? nearest : outside; };
  for (int64_t i = 1; i <= size; ++i) {
    p[i * width] = value(p[i * width + 1]);
    p[i * width + size + 1] = value(p[i * width + size]);
  }
  for (int64_t j = 0; j < width; ++j) {
    p[j] = value(p[width + j]);
    p[(size + 1) * width + j] = value(p[size * width + j]);
  }
}

// One RoI's weighted cross-entropy, summed to loss, and its gradient, times scale. Returns false,
// with neither, where Real is too narrow for this RoI.
template <typename Real, typename Target>
NBSEG_INLINE bool roi_loss(const float* __restrict logits, const Target* __restrict targets,
                           float* __restrict grad, double& loss, int64_t size, double gain,
                           Border border, double scale, Scratch<Real>& scratch) {
  const int64_t pixels = size * size;
  const int64_t width = size + 2;
  Real* __restrict x = scratch.x.data();
  Real* __restrict t = scratch.t.data();
  Real* __restrict e = scratch.e.data();
  Real* __restrict p = scratch.p.data();
  Real* __restrict q = scratch.q.data();

  for (int64_t k = 0; k < pixels; ++k) x[k] = logits[k];
  for (int64_t k = 0; k < pixels; ++k) t[k] = targets[k];
  for (int64_t k = 0; k < pixels; ++k) e[k] = exp_minus_abs(x[k]);

  const bool flipped = sum(x, pixels) > 0;
  const Real sign = flipped ? -1 : 1;
  for (int64_t k = 0; k < pixels; ++k) q[k] = sigmoid(sign * x[k], e[k]);
  const double sum_of_p_squares = sum_of_squares(q, pixels);
  for (int64_t i = 0; i < size; ++i) {
    Real* __restrict row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) row[j] = q[i * size + j];
  }
  fill_border(p, size, border, Real(flipped));
  for (int64_t i = 0; i < size; ++i) {
    const Real* row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) {
      q[i * size + j] = edge_strength(row[j], neighbour_sum(row + j, width));
    }
  }
  const bool is_float = sizeof(Real) == sizeof(float);
  if (is_float && !float_suffices(sum_of_squares(q, pixels), sum_of_p_squares)) return false;

  const EdgeWeights weights = edge_weights(sum(q, pixels) / static_cast<double>(pixels), gain);
  const Real factor = static_cast<Real>(weights.factor);
  const Real constant = static_cast<Real>(weights.constant);
  const Real grad_scale = static_cast<Real>(scale);
  for (int64_t k = 0; k < pixels; ++k) {
    const Real weight = factor * q[k] + constant;
    grad[k] = static_cast<float>(grad_scale * weight * cross_entropy_grad(x[k], t[k], e[k]));
    q[k] = weight * cross_entropy(x[k], t[k], e[k]);
  }
  loss = sum(q, pixels);
  return true;
}

template <typename Target>
NBSEG_INLINE void roi_losses(const BpmMaskLossParams<float, Target>& params, int64_t begin,
                             int64_t end, double* sums) {
  const int64_t pixels = params.size * params.size;
  const double scale = 1.0 / static_cast<double>(params.rois * pixels);
  Scratch<float> narrow(params.size);
  Scratch<double> wide(params.size);
  for (int64_t r = begin; r < end; ++r) {
    const float* logits = params.logits + (r * params.classes + params.labels[r]) * pixels;
    const Target* targets = params.targets + r * pixels;
    float* grad = params.channel_grad + r * pixels;
    roi_loss(logits, targets, grad, sums[r], params.size, params.gain, params.border, scale,
             narrow) ||
        roi_loss(logits, targets, grad, sums[r], params.size, params.gain, params.border, scale,
                 wide);
  }
}

// The same code for several instruction sets, of which the widest runs that the CPU has. A wider
// one has fused multiply-adds, which round once where the others round twice: results agree to the
// accuracy of double, not to the bit.
template <typename Target>
using RoiLosses = void (*)(const BpmMaskLossParams<float, Target>&, int64_t, int64_t, double*);

template <typename Target>
void roi_losses_baseline(const BpmMaskLossParams<float, Target>& params, int64_t begin, int64_t end,
                         double* sums) {
  roi_losses(params, begin, end, sums);
}

#if defined(__x86_64__) && defined(__GNUC__)
template <typename Target>
__attribute__((target("avx2,fma"))) void roi_losses_avx2(
    const BpmMaskLossParams<float, Target>& params, int64_t begin, int64_t end, double* sums) {
  roi_losses(params, begin, end, sums);
}

template <typename Target>
__attribute__((target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512"))) void
roi_losses_avx512(const BpmMaskLossParams<float, Target>& params, int64_t begin, int64_t end,
                  double* sums) {
  roi_losses(params, begin, end, sums);
}

template <typename Target>
RoiLosses<Target> choose_roi_losses() {
  switch (cpu_capability()) {
    case CpuCapability::kAvx512:
      return roi_losses_avx512<Target>;
    case CpuCapability::kAvx2:
      return roi_losses_avx2<Target>;
    default:
      return roi_losses_baseline<Target>;
  }
}
#else
template <typename Target>
RoiLosses<Target> choose_roi_losses() {
  return roi_losses_baseline<Target>;
}
#endif

}  // namespace

template <typename Target>
void bpm_mask_loss_cpu(const BpmMaskLossParams<float, Target>& params,
                       const ParallelFor& parallel) {
  check_labels(params.labels, params.rois, params.classes);
  const RoiLosses<Target> run = choose_roi_losses<Target>();
  std::vector<double> sums(params.rois);
  parallel(params.rois, [&](int64_t begin, int64_t end) { run(params, begin, end, sums.data()); });
  const double count = static_cast<double>(params.rois * params.size * params.size);
  *params.loss =
      static_cast<float>(std::accumulate(sums.begin(), sums.end(), 0.0) / std::max(count, 1.0));
}

template void bpm_mask_loss_cpu(const BpmMaskLossParams<float, uint8_t>&, const ParallelFor&);
template void bpm_mask_loss_cpu(const BpmMaskLossParams<float, float>&, const ParallelFor&);

void bpm_mask_loss_backward_cpu(const BpmMaskLossBackwardParams<float>& params,
                                const ParallelFor& parallel) {
  check_labels(params.labels, params.rois, params.classes);
  const int64_t pixels = params.size * params.size;
  const float scale = *params.grad_loss;
  parallel(params.rois, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* from = params.channel_grad + r * pixels;
      float* to = params.grad_logits + r * params.classes * pixels;
      to = std::fill_n(to, params.labels[r] * pixels, 0.0f);
      for (int64_t k = 0; k < pixels; ++k) *to++ = scale * from[k];
      std::fill_n(to, (params.classes - params.labels[r] - 1) * pixels, 0.0f);
    }
  });
}

}  // namespace nbseg

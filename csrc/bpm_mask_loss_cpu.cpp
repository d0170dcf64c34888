#include <algorithm>
#include <numeric>
#include <optional>
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

// Holds the working memory of one thread. All arrays have the same element type: a loop over float
// and double arrays vectorizes with few elements per step and runs out of registers.
template <typename Real>
struct Scratch {
  explicit Scratch(int64_t size)
      : x(size * size),
        t(size * size),
        e(size * size),
        p((size + 2) * (size + 2)),
        q(size * size),
        scale(size * size) {}

  std::vector<Real> x;      // (S, S), logits, then cross-entropy
  std::vector<Real> t;      // (S, S), targets, then the cross-entropy's derivative
  std::vector<Real> e;      // (S, S), exp(-|x|)
  std::vector<Real> p;      // (S + 2, S + 2), probability with its border
  std::vector<Real> q;      // (S, S), edge strength
  std::vector<Real> scale;  // (S, S), of the edge strength
};

template <typename Real>
NBSEG_INLINE double total(Real (&parts)[16]) {
  for (int width = 8; width > 0; width /= 2) {
    for (int n = 0; n < width; ++n) parts[n] += parts[n + width];
  }
  return parts[0];
}

// Sums in 16 interleaved parts, so that the loop vectorizes and the order of additions is the same
// for every instruction set.
template <typename Real>
NBSEG_INLINE double sum(const Real* values, int64_t count) {
  Real parts[16] = {};
  int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    for (int n = 0; n < 16; ++n) parts[n] += values[k + n];
  }
  for (; k < count; ++k) parts[k % 16] += values[k];
  return total(parts);
}

// Holds sums over a RoI, each in 16 interleaved parts as in sum().
struct Sums {
  double q;
  FloatAccuracy<double> accuracy;
};

template <typename Real>
NBSEG_INLINE Sums sums_of(const Real* q, const Real* scale, const Real* grad, const Real* entropy,
                          int64_t count) {
  Real parts[5][16] = {};
  const auto add = [&](int64_t k, int n) NBSEG_INLINE_LAMBDA {
    const Real q_grad = q[k] * grad[k], scale_grad = scale[k] * grad[k];
    parts[0][n] += q[k];
    parts[1][n] += q_grad * q_grad;
    parts[2][n] += scale_grad * scale_grad;
    parts[3][n] += q[k] * entropy[k];
    parts[4][n] += scale[k] * entropy[k];
  };
  int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    for (int n = 0; n < 16; ++n) add(k + n, n);
  }
  for (; k < count; ++k) add(k, k % 16);
  return {total(parts[0]), {total(parts[1]), total(parts[2]), total(parts[3]), total(parts[4])}};
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

// Computes one RoI: loss is the sum of its weighted cross-entropy, grad the gradient times scale.
// Returns false and writes neither if Real is not accurate enough for this RoI.
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
  Real* __restrict q_scale = scratch.scale.data();

  for (int64_t k = 0; k < pixels; ++k) x[k] = logits[k];
  for (int64_t k = 0; k < pixels; ++k) t[k] = targets[k];
  for (int64_t k = 0; k < pixels; ++k) e[k] = exp_minus_abs(x[k]);

  const bool flipped = sum(x, pixels) > 0;
  const Real sign = flipped ? -1 : 1;
  for (int64_t i = 0; i < size; ++i) {
    Real* __restrict row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) row[j] = sigmoid(sign * x[i * size + j], e[i * size + j]);
  }
  fill_border(p, size, border, Real(flipped));
  for (int64_t i = 0; i < size; ++i) {
    const Real* row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) {
      const Real neighbors = neighbor_sum(row + j, width);
      q[i * size + j] = edge_strength(row[j], neighbors);
      q_scale[i * size + j] = edge_scale(row[j], neighbors);
    }
  }
  for (int64_t k = 0; k < pixels; ++k) {
    const Real entropy = cross_entropy(x[k], t[k], e[k]);
    t[k] = cross_entropy_grad(x[k], t[k], e[k]);
    x[k] = entropy;
  }

  const Sums sums = sums_of(q, q_scale, t, x, pixels);
  if (sizeof(Real) == sizeof(float) && !sums.accuracy.suffices()) return false;
  const EdgeWeights<double> weights = edge_weights(sums.q / static_cast<double>(pixels), gain);
  loss = weights.factor * sums.accuracy.loss;
  if (weights.constant != 0) loss += weights.constant * sum(x, pixels);
  const Real factor = static_cast<Real>(scale * weights.factor);
  const Real constant = static_cast<Real>(scale * weights.constant);
  for (int64_t k = 0; k < pixels; ++k) {
    grad[k] = static_cast<float>((factor * q[k] + constant) * t[k]);
  }
  return true;
}

template <typename Target>
NBSEG_INLINE void roi_losses(const BpmMaskLossParams<float, Target>& params, int64_t begin,
                             int64_t end, double* sums) {
  const int64_t pixels = params.size * params.size;
  const double scale = 1.0 / static_cast<double>(params.rois * pixels);
  Scratch<float> narrow(params.size);
  std::optional<Scratch<double>> wide;
  for (int64_t r = begin; r < end; ++r) {
    const float* logits = params.logits + (r * params.classes + params.labels[r]) * pixels;
    const Target* targets = params.targets + r * pixels;
    float* grad = params.channel_grad + r * pixels;
    if (!roi_loss(logits, targets, grad, sums[r], params.size, params.gain, params.border, scale,
                  narrow)) {
      if (!wide) wide.emplace(params.size);
      roi_loss(logits, targets, grad, sums[r], params.size, params.gain, params.border, scale,
               *wide);
    }
  }
}

// Writes 512 elements at a time: for long fills the C library switches to a method that is slow on
// memory pages that the process has not touched before.
float* fill_zeros(float* to, int64_t count) {
  for (; count > 0; count -= 512) to = std::fill_n(to, std::min<int64_t>(count, 512), 0.0f);
  return to;
}

}  // namespace

template <typename Target>
void bpm_mask_loss_cpu(const BpmMaskLossParams<float, Target>& params,
                       const ParallelFor& parallel) {
  check_labels(params.labels, params.rois, params.classes);
  std::vector<double> sums(params.rois);
  // Wider instruction sets have fused multiply-adds, which round once instead of twice. Results of
  // different CPUs therefore agree up to rounding, but not to the bit.
  parallel(params.rois, [&](int64_t begin, int64_t end) {
    run_at_cpu_capability([&]()
                              NBSEG_INLINE_LAMBDA { roi_losses(params, begin, end, sums.data()); });
  });
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
      to = fill_zeros(to, params.labels[r] * pixels);
      for (int64_t k = 0; k < pixels; ++k) *to++ = scale * from[k];
      fill_zeros(to, (params.classes - params.labels[r] - 1) * pixels);
    }
  });
}

}  // namespace nbseg

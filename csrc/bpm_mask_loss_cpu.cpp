#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "bpm_mask_loss.h"
#include "bpm_mask_loss_math.h"

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

// Working memory of one thread. All of it is double, because a loop that mixes widths is vectorised
// to the narrowest and runs out of registers.
struct Scratch {
  explicit Scratch(int64_t size)
      : x(size * size),
        t(size * size),
        e(size * size),
        p((size + 2) * (size + 2)),
        q(size * size) {}

  std::vector<double> x;  // (S, S), logits, then cross-entropy
  std::vector<double> t;  // (S, S), targets, then the cross-entropy's derivative
  std::vector<double> e;  // (S, S), exp(-|x|)
  std::vector<double> p;  // (S + 2, S + 2), probability with its border
  std::vector<double> q;  // (S, S), edge strength, then weighted cross-entropy
};

// A sum in eight interleaved parts: vectorised, and in one order whatever the instruction set.
NBSEG_INLINE double sum(const double* values, int64_t count) {
  double parts[8] = {};
  int64_t k = 0;
  for (; k + 8 <= count; k += 8) {
    for (int n = 0; n < 8; ++n) parts[n] += values[k + n];
  }
  for (; k < count; ++k) parts[0] += values[k];
  return ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
         ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

NBSEG_INLINE void fill_border(double* p, int64_t size, Border border, double outside) {
  const int64_t width = size + 2;
  const auto value = [&](double nearest) {
    return border == Border::kReplicate ? nearest : outside;
  };
  for (int64_t i = 1; i <= size; ++i) {
    p[i * width] = value(p[i * width + 1]);
    p[i * width + size + 1] = value(p[i * width + size]);
  }
  for (int64_t j = 0; j < width; ++j) {
    p[j] = value(p[width + j]);
    p[(size + 1) * width + j] = value(p[size * width + j]);
  }
}

// The weighted sum of one RoI's cross-entropy; writes its gradient, times scale.
template <typename Target>
NBSEG_INLINE double roi_loss(const float* __restrict logits, const Target* __restrict targets,
                             float* __restrict grad, int64_t size, double gain, Border border,
                             double scale, Scratch& scratch) {
  const int64_t pixels = size * size;
  const int64_t width = size + 2;
  double* __restrict x = scratch.x.data();
  double* __restrict t = scratch.t.data();
  double* __restrict e = scratch.e.data();
  double* __restrict p = scratch.p.data();
  double* __restrict q = scratch.q.data();

  for (int64_t k = 0; k < pixels; ++k) x[k] = logits[k];
  for (int64_t k = 0; k < pixels; ++k) t[k] = targets[k];
  for (int64_t k = 0; k < pixels; ++k) e[k] = exp_minus_abs(x[k]);

  const bool flipped = sum(x, pixels) > 0;
  const double sign = flipped ? -1.0 : 1.0;
  for (int64_t i = 0; i < size; ++i) {
    double* __restrict row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) {
      const int64_t k = i * size + j;
      row[j] = sigmoid(sign * x[k], e[k]);
    }
  }
  for (int64_t k = 0; k < pixels; ++k) {
    const double entropy = cross_entropy(x[k], t[k], e[k]);
    t[k] = cross_entropy_grad(x[k], t[k], e[k]);
    x[k] = entropy;
  }
  fill_border(p, size, border, flipped ? 1.0 : 0.0);

  for (int64_t i = 0; i < size; ++i) {
    const double* row = p + (i + 1) * width + 1;
    for (int64_t j = 0; j < size; ++j) {
      q[i * size + j] = edge_strength(row[j], neighbour_sum(row + j, width));
    }
  }
  const double mean_q = sum(q, pixels) / static_cast<double>(pixels);

  for (int64_t k = 0; k < pixels; ++k) {
    const double weight = edge_weight(q[k], mean_q, gain);
    grad[k] = static_cast<float>(scale * weight * t[k]);
    q[k] = weight * x[k];
  }
  return sum(q, pixels);
}

template <typename Target>
NBSEG_INLINE void roi_losses(const BpmMaskLossParams<float, Target>& params, int64_t begin,
                             int64_t end, double* sums) {
  const int64_t pixels = params.size * params.size;
  const double scale = 1.0 / static_cast<double>(params.rois * pixels);
  Scratch scratch(params.size);
  for (int64_t r = begin; r < end; ++r) {
    sums[r] = roi_loss(params.logits + (r * params.classes + params.labels[r]) * pixels,
                       params.targets + r * pixels, params.channel_grad + r * pixels, params.size,
                       params.gain, params.border, scale, scratch);
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
  const bool fma = __builtin_cpu_supports("fma");
  if (fma && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return roi_losses_avx512<Target>;
  }
  return fma && __builtin_cpu_supports("avx2") ? roi_losses_avx2<Target>
                                               : roi_losses_baseline<Target>;
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

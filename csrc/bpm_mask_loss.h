#pragma once

#include <cstdint>

#include "parallel.h"

namespace nbseg {

// There are R RoIs, C classes and S x S pixels per mask. All arrays are contiguous.

enum class Border { kReplicate, kZeros };

template <typename Logit, typename Target>
struct BpmMaskLossParams {
  const Logit* logits;    // (R, C, S, S)
  const Target* targets;  // (R, S, S), in [0, 1]
  const int64_t* labels;  // (R,), in [0, C)
  float* loss;            // (), mean over R * S * S
  float* channel_grad;    // (R, S, S), d loss / d logits[r, labels[r]]
  int64_t rois;           // R
  int64_t classes;        // C
  int64_t size;           // S
  double gain;            // mean weight of the pixels of each RoI
  Border border;
};

template <typename Logit>
struct BpmMaskLossBackwardParams {
  const float* grad_loss;     // ()
  const float* channel_grad;  // (R, S, S)
  const int64_t* labels;      // (R,), in [0, C)
  Logit* grad_logits;         // (R, C, S, S), zero except in the labels' channels
  int64_t rois;               // R
  int64_t classes;            // C
  int64_t size;               // S
};

// Target is uint8_t or float. Throws std::out_of_range for a label outside [0, C).
template <typename Target>
void bpm_mask_loss_cpu(const BpmMaskLossParams<float, Target>& params, const ParallelFor& parallel);

// Throws std::out_of_range for a label outside [0, C).
void bpm_mask_loss_backward_cpu(const BpmMaskLossBackwardParams<float>& params,
                                const ParallelFor& parallel);

}  // namespace nbseg

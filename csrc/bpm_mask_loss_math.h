#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "host_device.h"

// These functions compute the boundary-preserving mask loss element by element, in float or double.
//
// q is a second difference. Where a mask is smooth, cancellation leaves only a few of float's seven
// digits in q and in the weight q / mean(q). FloatAccuracy tells whether float is accurate enough.

namespace nbseg {

// Returns exp(x) for x <= 0, within 2 units in the last place, without a branch or a call, so that
// loops vectorize. Returns exp(-700) for x < -700.
//
// With x = n ln 2 + r and |r| <= ln 2 / 2, exp(x) = 2^n exp(r). A Taylor series gives exp(r).
NBSEG_HOST_DEVICE double exp_nonpositive(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // n * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kRound = 0x1.8p52;  // adding kRound leaves round(x) in the lowest bits
  x = x < -700.0 ? -700.0 : x;         // NaN passes
  const double shifted = x * kLog2E + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1.0 / 479001600;  // 1 / 12!
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  uint64_t exponent, bits;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  std::memcpy(&bits, &sum, sizeof bits);
  bits += exponent << 52;  // times 2^n
  std::memcpy(&sum, &bits, sizeof sum);
  return sum;
}

// The float version; returns exp(-87) for x < -87.
NBSEG_HOST_DEVICE float exp_nonpositive(float x) {
  constexpr float kLog2E = 0x1.715476p0f;
  constexpr float kLn2High = 0x1.62e4p-1f;
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  constexpr float kRound = 0x1.8p23f;
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float sum = 1.0f / 5040;  // 1 / 7!
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  uint32_t exponent, bits;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  std::memcpy(&bits, &sum, sizeof bits);
  bits += exponent << 23;
  std::memcpy(&sum, &bits, sizeof sum);
  return sum;
}

// Returns log(1 + x) for 0 <= x <= 1, within 1e-13 relative, without a branch or a call.
//
// With s = x / (2 + x) <= 1 / 3, log(1 + x) = 2 atanh(s). A Taylor series gives atanh(s).
NBSEG_HOST_DEVICE double log1p_unit(double x) {
  const double s = x / (2.0 + x);
  const double z = s * s;
  double sum = 1.0 / 25;
  sum = sum * z + 1.0 / 23;
  sum = sum * z + 1.0 / 21;
  sum = sum * z + 1.0 / 19;
  sum = sum * z + 1.0 / 17;
  sum = sum * z + 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  sum = sum * z + 1.0;
  return 2.0 * s * sum;
}

// The float version is accurate within 2e-7 relative and needs no division. The result is x times a
// polynomial that equals log(1 + x) / x at the ten Chebyshev nodes of [0, 1].
NBSEG_HOST_DEVICE float log1p_unit(float x) {
  float sum = -0.0031760570127516985f;
  sum = sum * x + 0.019542528316378593f;
  sum = sum * x - 0.05637361481785774f;
  sum = sum * x + 0.10543623566627502f;
  sum = sum * x - 0.1526966691017151f;
  sum = sum * x + 0.1966327428817749f;
  sum = sum * x - 0.24951615929603577f;
  sum = sum * x + 0.33329710364341736f;
  sum = sum * x - 0.49999892711639404f;
  sum = sum * x + 1.0f;
  return sum * x;
}

// Below, e = exp(-|x|). sigmoid(|x|) = 1 / (1 + e) and sigmoid(-|x|) = e / (1 + e) have small
// relative errors. 1 - sigmoid(|x|) would have a large relative error, because of cancellation.

template <typename Real>
NBSEG_HOST_DEVICE Real exp_minus_abs(Real x) {
  return exp_nonpositive(-std::fabs(x));
}

template <typename Real>
NBSEG_HOST_DEVICE Real sigmoid(Real x, Real e) {
  return (x >= 0 ? Real(1) : e) * (Real(1) / (Real(1) + e));  // as in cross_entropy_grad
}

// Returns the binary cross-entropy of logit x and target t.
template <typename Real>
NBSEG_HOST_DEVICE Real cross_entropy(Real x, Real t, Real e) {
  return (x > 0 ? x : Real(0)) - x * t + log1p_unit(e);
}

// Returns the derivative of cross_entropy by x. It is sigmoid(x) - t, computed without cancellation
// as (1 - t) sigmoid(x) - t sigmoid(-x).
template <typename Real>
NBSEG_HOST_DEVICE Real cross_entropy_grad(Real x, Real t, Real e) {
  const Real positive = x >= 0 ? Real(1) : e;
  const Real negative = x >= 0 ? e : Real(1);
  return ((Real(1) - t) * positive - t * negative) * (Real(1) / (Real(1) + e));
}

// Returns the sum of a pixel's 8 neighbors in an array with rows of that width. If all values equal
// p, the sum is exactly 8 p. Otherwise rounding errors in a constant mask would look like edges.
template <typename Real>
NBSEG_HOST_DEVICE Real neighbor_sum(const Real* center, int64_t width) {
  const Real* above = center - width;
  const Real* below = center + width;
  return ((above[-1] + below[-1]) + (above[1] + below[1])) +
         ((above[0] + below[0]) + (center[-1] + center[1]));
}

// Returns q of a pixel with probability p, given the sum of its neighbors.
//
// q is the same for p and 1 - p. For a RoI whose mean logit is positive, callers pass sigmoid(-x)
// as p, and 1 instead of 0 as padding. With p = sigmoid(x), saturated foreground would have p near
// 1 everywhere and lose all significant digits.
template <typename Real>
NBSEG_HOST_DEVICE Real edge_strength(Real p, Real neighbor_sum) {
  return std::fabs(Real(8) * p - neighbor_sum);
}

// A pixel's weight is factor * q + constant. If a RoI has no edges (mean q is 0), all its weights
// are constant, which avoids 0 / 0.
template <typename Real>
struct EdgeWeights {
  Real factor, constant;
};

template <typename Real>
NBSEG_HOST_DEVICE EdgeWeights<Real> edge_weights(Real mean_q, Real gain) {
  if (mean_q < Real(1e-20)) return {Real(0), gain};
  return {gain / mean_q, Real(0)};
}

// Returns the mean magnitude of q's two terms, 8 p and the neighbors' sum, per pixel of the kernel.
// A float p has a relative error of about 1.2e-7, so q has an error of about 6e-7 times this mean.
template <typename Real>
NBSEG_HOST_DEVICE Real edge_scale(Real p, Real neighbor_sum) {
  return (Real(8) * p + neighbor_sum) * Real(1.0 / 16);
}

// Holds four sums over a RoI, which compare the results with their float errors. grad is the sum of
// the squares of q times the cross-entropy's derivative, and measures the gradient's squared norm.
// loss is the sum of q times the cross-entropy, and measures the loss. grad_scale and loss_scale
// have edge_scale in place of q, and measure the errors.
template <typename Real>
struct FloatAccuracy {
  Real grad, grad_scale, loss, loss_scale;

  NBSEG_HOST_DEVICE void add(Real q, Real q_scale, Real entropy, Real entropy_grad) {
    grad += (q * entropy_grad) * (q * entropy_grad);
    grad_scale += (q_scale * entropy_grad) * (q_scale * entropy_grad);
    loss += q * entropy;
    loss_scale += q_scale * entropy;
  }

  // Returns whether float gives the gradient within 3e-6 and the loss within 1e-6. Float is too
  // inaccurate for smooth masks and for masks with correct edges and a wrong interior.
  NBSEG_HOST_DEVICE bool suffices() const {
    return grad >= Real(0.04) * grad_scale && loss >= Real(0.5) * loss_scale;
  }
};

}  // namespace nbseg

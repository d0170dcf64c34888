#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "host_device.h"

// The boundary-preserving mask loss, element by element.
//
// All of it is in double: q is a second difference, so on a smooth mask float would leave it a few
// digits of p's seven, and the weight q / mean(q) with it.

namespace nbseg {

// exp(x) for x <= 0, within 2 units in the last place, without a branch or a call, so that a loop
// of it vectorises. Below -700 it stays at exp(-700).
//
// x = n ln 2 + r with |r| <= ln 2 / 2, exp(x) = 2^n exp(r), exp(r) by its Taylor series.
NBSEG_HOST_DEVICE double exp_nonpositive(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // n * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kRound = 0x1.8p52;  // adding it leaves round(x) in the lowest bits
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

// log(1 + x) for 0 <= x <= 1, within 1e-13 relative, likewise without a branch or a call.
//
// log(1 + x) = 2 atanh(s) with s = x / (2 + x) <= 1 / 3, atanh by its Taylor series.
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

// Below, e = exp(-|x|): sigmoid(|x|) = 1 / (1 + e) and sigmoid(-|x|) = e / (1 + e), both accurate
// relative to themselves, which 1 - sigmoid(|x|) is not.

NBSEG_HOST_DEVICE double exp_minus_abs(double x) { return exp_nonpositive(-std::fabs(x)); }

NBSEG_HOST_DEVICE double sigmoid(double x, double e) {
  return (x >= 0 ? 1.0 : e) * (1.0 / (1.0 + e));  // the quotient is cross_entropy_grad's as well
}

// Binary cross-entropy of logit x and target t.
NBSEG_HOST_DEVICE double cross_entropy(double x, double t, double e) {
  return (x > 0 ? x : 0.0) - x * t + log1p_unit(e);
}

// Its derivative by x: sigmoid(x) - t = (1 - t) sigmoid(x) - t sigmoid(-x), without cancellation.
NBSEG_HOST_DEVICE double cross_entropy_grad(double x, double t, double e) {
  const double positive = x >= 0 ? 1.0 : e;
  const double negative = x >= 0 ? e : 1.0;
  return ((1.0 - t) * positive - t * negative) * (1.0 / (1.0 + e));
}

// The sum over the 8 neighbours of a pixel in an array whose rows have that width. Of equal values
// it is exact, as is 8 p, or the rounding of a constant mask would pass for an edge.
NBSEG_HOST_DEVICE double neighbour_sum(const double* centre, int64_t width) {
  const double* above = centre - width;
  const double* below = centre + width;
  return ((above[-1] + below[-1]) + (above[1] + below[1])) +
         ((above[0] + below[0]) + (centre[-1] + centre[1]));
}

// q of a pixel with probability p, given the sum over its neighbours.
//
// q is the same for p and 1 - p. A RoI whose mean logit is positive passes sigmoid(-x) for p (and
// 1 for a padding of 0), or saturated foreground, all 1 but for rounding, would have no digits.
NBSEG_HOST_DEVICE double edge_strength(double p, double neighbour_sum) {
  return std::fabs(8.0 * p - neighbour_sum);
}

// A RoI without edges keeps the mean weight: 0 / 0 is nobody's gradient.
NBSEG_HOST_DEVICE double edge_weight(double q, double mean_q, double gain) {
  return mean_q < 1e-20 ? gain : q * (gain / mean_q);
}

}  // namespace nbseg

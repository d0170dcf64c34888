#include "bpm_mask_loss_math.h"

#include <cmath>
#include <limits>

#include "check.h"

using namespace nbseg;

namespace {

bool close(double value, double wanted, double relative) {
  return std::fabs(value - wanted) <= relative * std::fabs(wanted);
}

void exp_and_log1p_agree_with_the_library() {
  for (int i = 0; i <= 2000000; ++i) {
    const double x = -350e-6 * i;  // down to -700
    CHECK(close(exp_nonpositive(x), std::exp(x), 1e-15));
  }
  CHECK(exp_nonpositive(0) == 1);
  CHECK(exp_nonpositive(-1e9) == exp_nonpositive(-700));
  CHECK(std::isnan(exp_nonpositive(std::numeric_limits<double>::quiet_NaN())));
  for (int i = 0; i <= 100000; ++i) {
    const double x = i * 1e-5;
    CHECK(close(log1p_unit(x), std::log1p(x), 1e-13));
    CHECK(close(log1p_unit(x * 1e-15), std::log1p(x * 1e-15), 1e-13));
  }
}

void cross_entropy_keeps_its_digits() {
  for (int i = -1000; i <= 1000; ++i) {
    const long double x = 0.1L * i;
    const double e = exp_minus_abs(static_cast<double>(x));
    const long double positive = 1 / (1 + std::exp(-x)), negative = 1 / (1 + std::exp(x));
    CHECK(close(sigmoid(x, e), positive, 1e-14));
    CHECK(close(cross_entropy(x, 1, e), std::log1p(std::exp(-x)), 1e-12));
    CHECK(close(cross_entropy(x, 0, e), std::log1p(std::exp(x)), 1e-12));
    CHECK(close(cross_entropy_grad(x, 1, e), -negative, 1e-14));
    CHECK(close(cross_entropy_grad(x, 0, e), positive, 1e-14));
    CHECK(close(cross_entropy_grad(x, 0.25, e), 0.75L * positive - 0.25L * negative, 1e-12));
  }
}

void neighbours_lie_around_their_centre() {
  // Powers of 4: the sum says which elements it holds, and how often.
  double image[4][5] = {};
  double power = 1;
  for (int i = 1; i <= 3; ++i) {
    for (int j = 1; j <= 3; ++j) {
      image[i][j] = power;
      power *= 4;
    }
  }
  CHECK(neighbour_sum(&image[2][2], 5) == (power - 1) / 3 - 256);
  CHECK(neighbour_sum(&image[1][1], 5) == 4 + 64 + 256);
}

void weights_are_relative_to_the_mean() {
  CHECK(edge_strength(0.5, 0.0) == 4.0);  // a lone pixel: 8 * 0.5
  CHECK(edge_strength(0.25, 8 * 0.25) == 0.0);
  CHECK(edge_weight(2.0, 0.5, 3.0) == 12.0);
  CHECK(edge_weight(0.0, 0.0, 3.0) == 3.0);
  CHECK(edge_weight(1e-21, 5e-21, 3.0) == 3.0);
}

}  // namespace

int main() {
  exp_and_log1p_agree_with_the_library();
  cross_entropy_keeps_its_digits();
  neighbours_lie_around_their_centre();
  weights_are_relative_to_the_mean();
}

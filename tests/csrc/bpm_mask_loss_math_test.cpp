#include "bpm_mask_loss_math.h"

#include <cmath>
#include <initializer_list>
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
    const float narrow = -43.5e-6f * static_cast<float>(i);  // down to -87
    CHECK(close(exp_nonpositive(narrow), std::exp(static_cast<double>(narrow)), 1.2e-7));
  }
  CHECK(exp_nonpositive(0.0) == 1);
  CHECK(exp_nonpositive(0.0f) == 1);
  CHECK(exp_nonpositive(-1e9) == exp_nonpositive(-700.0));
  CHECK(exp_nonpositive(-1e9f) == exp_nonpositive(-87.0f));
  CHECK(std::isnan(exp_nonpositive(std::numeric_limits<double>::quiet_NaN())));
  CHECK(std::isnan(exp_nonpositive(std::numeric_limits<float>::quiet_NaN())));
  for (int i = 0; i <= 100000; ++i) {
    for (const double x : {i * 1e-5, i * 1e-20}) {
      CHECK(close(log1p_unit(x), std::log1p(x), 1e-13));
      const float narrow = static_cast<float>(x);
      CHECK(close(log1p_unit(narrow), std::log1p(static_cast<double>(narrow)), 2e-7));
    }
  }
}

template <typename Real>
void cross_entropy_keeps_its_digits(int most, double accuracy) {
  for (int i = -10 * most; i <= 10 * most; ++i) {
    const Real x = static_cast<Real>(0.1 * i);
    const Real e = exp_minus_abs(x);
    const long double exact = x;
    const long double positive = 1 / (1 + std::exp(-exact)), negative = 1 / (1 + std::exp(exact));
    CHECK(close(sigmoid(x, e), positive, accuracy));
    CHECK(close(cross_entropy(x, Real(1), e), std::log1p(std::exp(-exact)), 100 * accuracy));
    CHECK(close(cross_entropy(x, Real(0), e), std::log1p(std::exp(exact)), 100 * accuracy));
    CHECK(close(cross_entropy_grad(x, Real(1), e), -negative, accuracy));
    CHECK(close(cross_entropy_grad(x, Real(0), e), positive, accuracy));
    CHECK(close(cross_entropy_grad(x, Real(0.25), e), 0.75L * positive - 0.25L * negative,
                100 * accuracy));
  }
}

void neighbors_lie_around_their_center() {
  // Powers of 4: the digits of the sum tell which elements it contains, and how often.
  double image[4][5] = {};
  double power = 1;
  for (int i = 1; i <= 3; ++i) {
    for (int j = 1; j <= 3; ++j) {
      image[i][j] = power;
      power *= 4;
    }
  }
  CHECK(neighbor_sum(&image[2][2], 5) == (power - 1) / 3 - 256);
  CHECK(neighbor_sum(&image[1][1], 5) == 4 + 64 + 256);
}

void weights_are_relative_to_the_mean() {
  CHECK(edge_strength(0.5, 0.0) == 4.0);  // a lone pixel: 8 * 0.5
  CHECK(edge_strength(0.25, 8 * 0.25) == 0.0);
  CHECK(edge_weights(0.5, 3.0).factor == 6.0 && edge_weights(0.5, 3.0).constant == 0.0);
  for (const double mean_q : {0.0, 5e-21}) {
    CHECK(edge_weights(mean_q, 3.0).factor == 0.0 && edge_weights(mean_q, 3.0).constant == 3.0);
    CHECK(edge_weights(static_cast<float>(mean_q), 3.0f).constant == 3.0f);
  }
}

void float_does_not_suffice_without_edges_or_for_nan() {
  FloatAccuracy<float> accuracy = {};
  accuracy.add(3.0f, 0.5f, 2.0f, -1.0f);  // an edge
  CHECK(accuracy.grad == 9 && accuracy.grad_scale == 0.25f);
  CHECK(accuracy.loss == 6 && accuracy.loss_scale == 1);
  CHECK(accuracy.suffices());
  for (int n = 0; n < 1000; ++n) accuracy.add(0.0f, 0.5f, 0.01f, -1.0f);  // a confident interior
  CHECK(accuracy.loss > 0.5f * accuracy.loss_scale && !accuracy.suffices());
  FloatAccuracy<float> smooth = {};
  smooth.add(0.1f, 0.5f, 1.0f, 0.0f);
  CHECK(smooth.grad == smooth.grad_scale && !smooth.suffices());
  smooth.loss = std::numeric_limits<float>::quiet_NaN();
  CHECK(!smooth.suffices());
}

}  // namespace

int main() {
  exp_and_log1p_agree_with_the_library();
  cross_entropy_keeps_its_digits<double>(100, 1e-14);
  cross_entropy_keeps_its_digits<float>(85, 4e-7);
  neighbors_lie_around_their_center();
  weights_are_relative_to_the_mean();
  float_does_not_suffice_without_edges_or_for_nan();
}

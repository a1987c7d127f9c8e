// The engine's own elementary functions against the C library, which is within half an ulp or so of the truth.
#include "maths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace ptts {
namespace {

// Distance in units of the last place of `expected`.
double ulps(double actual, double expected) {
  if (actual == expected) return 0.0;
  int exponent = 0;
  std::frexp(expected, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - 53, -1074));
  return std::fabs(actual - expected) / unit;
}

// Evenly spread points that are not round numbers.
template <typename Check>
void sweep(double from, double to, int count, Check check) {
  for (int i = 0; i <= count; ++i) {
    check(from + (to - from) * (i + 0.3719) / (count + 1.0));
  }
}

TEST(Math, ExpIsWithinOneUlp) {
  double worst = 0.0;
  const auto check = [&](double x) { worst = std::max(worst, ulps(exp_d(x), std::exp(x))); };
  sweep(-700.0, 709.7, 300000, check);
  sweep(-1.0, 1.0, 300000, check);
  EXPECT_LT(worst, 1.2);
  sweep(-745.1, -700.0, 20000, [](double x) {  // gradual underflow
    EXPECT_NEAR(exp_d(x), std::exp(x), std::exp(x) * 1e-15 + 5e-324) << x;
  });
}

TEST(Math, ExpAtTheEdges) {
  EXPECT_EQ(exp_d(0.0), 1.0);
  EXPECT_EQ(exp_d(1000.0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(exp_d(-1000.0), 0.0);
  EXPECT_TRUE(std::isnan(exp_d(std::nan(""))));
}

TEST(Math, LogIsWithinOneUlp) {
  double worst = 0.0;
  const auto check = [&](double x) { worst = std::max(worst, ulps(log_d(x), std::log(x))); };
  sweep(1e-7, 4.0, 300000, check);
  sweep(0.99, 1.01, 300000, check);
  for (double x = 1e-320; x < 1e308; x *= 1.37) check(x);
  for (int i = 1; i <= 1 << 16; ++i) check(i * 0x1p-24);  // what Box-Muller asks for
  EXPECT_LT(worst, 1.2);
}

TEST(Math, LogAtTheEdges) {
  EXPECT_EQ(log_d(1.0), 0.0);
  EXPECT_EQ(log_d(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(log_d(std::numeric_limits<double>::infinity()), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(log_d(-1.0)));
}

TEST(Math, SineAndCosineAreWithinOneUlp) {
  double worst = 0.0;
  const auto check = [&](double x) {
    const SinCos pair = sincos_d(x);
    worst = std::max({worst, ulps(pair.sin, std::sin(x)), ulps(pair.cos, std::cos(x))});
    EXPECT_EQ(pair.sin, sin_d(x));
    EXPECT_EQ(pair.cos, cos_d(x));
  };
  sweep(-7.0, 7.0, 300000, check);
  sweep(-kMaxAngle, kMaxAngle, 300000, check);
  // Next to multiples of pi/2 almost everything cancels.
  for (int k = 1; k < 600000; k += 7) check(k * (kPi / 2));
  EXPECT_LT(worst, 1.2);
}

TEST(Math, SineAndCosineAtTheEdges) {
  EXPECT_EQ(sin_d(0.0), 0.0);
  EXPECT_EQ(cos_d(0.0), 1.0);
  EXPECT_TRUE(std::isnan(sin_d(kMaxAngle * 1.01)));
  EXPECT_TRUE(std::isnan(cos_d(std::nan(""))));
  EXPECT_TRUE(std::isnan(cos_d(std::numeric_limits<double>::infinity())));
}

TEST(Math, BesselI0MatchesKnownValues) {
  EXPECT_EQ(bessel_i0(0.0), 1.0);
  EXPECT_NEAR(bessel_i0(1.0), 1.2660658777520084, 3e-16);
  EXPECT_NEAR(bessel_i0(5.0), 27.239871823604442, 8e-15);
  for (double x = 0.0; x <= 5.0; x += 0.05) {
    double integral = 0.0;  // mean of exp(x cos t); the trapezium rule converges geometrically here
    constexpr int kPoints = 64;
    for (int i = 0; i < kPoints; ++i) integral += std::exp(x * std::cos(2 * kPi * i / kPoints));
    EXPECT_NEAR(bessel_i0(x), integral / kPoints, bessel_i0(x) * 3e-15) << x;
  }
}

// One number that changes when any bit of any function changes: the same on every host and compiler.
TEST(Math, BitsArePinned) {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](double x) {
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  };
  for (int i = 0; i < 5000; ++i) {
    const double x = i * 0.0123;
    add(exp_d(x - 30.0));
    add(log_d(x + 1e-3));
    add(sin_d(x));
    add(cos_d(x * 100.0));
    add(bessel_i0(x * 0.1));
  }
  EXPECT_EQ(hash, 6901876082285300260u);
}

}  // namespace
}  // namespace ptts

// See maths.h. All series are plain Taylor series whose coefficients the compiler divides out: after the argument is
// reduced they converge to double precision in a dozen terms, and there is no table of magic numbers to trust.
#include "maths.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace ptts {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// ln 2 in two parts; the first has 32 significant bits, so that multiples up to 2^21 are exact.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// pi/2 in three parts; the first two have 33 significant bits: multiples up to 2^20 are exact.
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;

uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

double from_bits(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// 2^exponent for exponents of normal numbers.
double power_of_two(int exponent) { return from_bits(static_cast<uint64_t>(exponent + 1023) << 52); }

// Nearest integer of |x| < 2^51, ties to even: adding and subtracting 1.5 * 2^52 leaves no fraction bits.
double round_to_integer(double x) {
  constexpr double kShift = 0x1.8p52;
  return (x + kShift) - kShift;
}

// 1/0! ... 1/18!; every factorial here is exact in a double.
constexpr auto kInverseFactorial = [] {
  std::array<double, 19> table{};
  double product = 1.0;
  for (int n = 0; n < 19; ++n) {
    if (n > 1) product *= n;
    table[static_cast<size_t>(n)] = 1.0 / product;
  }
  return table;
}();

constexpr double inverse_factorial(int n) { return kInverseFactorial[static_cast<size_t>(n)]; }

// 2/0 (unused), 2/1 ... 2/25: the series of 2 atanh.
constexpr auto kTwoOver = [] {
  std::array<double, 26> table{};
  for (int n = 1; n < 26; ++n) table[static_cast<size_t>(n)] = 2.0 / n;
  return table;
}();

// The angle without its multiples of pi/2, as a sum high + low, and the number of quarter turns.
struct ReducedAngle {
  double high;
  double low;
  int quadrant;
};

ReducedAngle reduce_angle(double x) {
  const double turns = round_to_integer(x * (2.0 / kPi));
  const double first = x - turns * kHalfPi1;  // exact
  const double second = turns * kHalfPi2;     // exact
  const double sum = first - second;
  // What the subtraction lost (two-sum: right for any sizes of the operands).
  const double virtual_second = first - sum;
  const double lost = (first - (sum + virtual_second)) + (virtual_second - second);
  const double tail = lost - turns * kHalfPi3;
  const double high = sum + tail;
  const double low = (sum - high) + tail;
  return {high, low, static_cast<int>(static_cast<int64_t>(turns) & 3)};
}

// sin(high + low) for |high| <= pi/4.
double sin_kernel(double high, double low) {
  const double z = high * high;
  double series = 0.0;
  for (int n = 17; n >= 3; n -= 2) {
    const double c = inverse_factorial(n);
    series = series * z + ((n / 2) % 2 == 0 ? c : -c);
  }
  // d sin / dx = cos, and cos(high) is close enough to 1 - z/2 for the low part.
  return high + (high * z * series + low * (1.0 - 0.5 * z));
}

// cos(high + low) for |high| <= pi/4.
double cos_kernel(double high, double low) {
  const double z = high * high;
  double series = 0.0;
  for (int n = 18; n >= 4; n -= 2) {
    const double c = inverse_factorial(n);
    series = series * z + ((n / 2) % 2 == 0 ? c : -c);
  }
  const double half = 0.5 * z;
  const double leading = 1.0 - half;
  const double lost = (1.0 - leading) - half;
  return leading + (lost + (z * z * series - high * low));
}

}  // namespace

double exp_d(double x) {
  if (!(x == x)) return kNan;
  if (x > 709.782712893384) return kInfinity;
  if (x < -745.1332191019412) return 0.0;
  const double k = round_to_integer(x * 1.4426950408889634);
  const double high = x - k * kLn2High;
  const double low = k * kLn2Low;
  const double r = high - low;
  const double lost = (high - r) - low;
  double series = 0.0;  // (e^r - 1 - r) / r^2
  for (int n = 14; n >= 2; --n) series = series * r + inverse_factorial(n);
  const double value = 1.0 + (r + (r * r * series + lost));
  // Two factors, because 2^k alone may overflow or underflow where the product does not.
  const int half = static_cast<int>(k) / 2;
  return value * power_of_two(half) * power_of_two(static_cast<int>(k) - half);
}

double log_d(double x) {
  if (!(x == x) || x < 0.0) return kNan;
  if (x == 0.0) return -kInfinity;
  if (x == kInfinity) return kInfinity;
  int exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  const uint64_t bits = bits_of(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = from_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  // ln m = 2 atanh(s) with s = f / (2 + f), |s| < 0.172. Since 2s = f - s f, the sum below keeps f exact and
  // only its small correction is rounded:  ln m = f - (f^2/2 - s (f^2/2 + R)),  R = 2 s^2/3 + 2 s^4/5 + ...
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double series = 0.0;
  for (int n = 25; n >= 3; n -= 2) series = series * z + kTwoOver[static_cast<size_t>(n)];
  const double r = z * series;
  const double half_square = 0.5 * f * f;
  const double e = exponent;
  return e * kLn2High - ((half_square - (s * (half_square + r) + e * kLn2Low)) - f);
}

SinCos sincos_d(double x) {
  if (!(std::fabs(x) <= kMaxAngle)) return {kNan, kNan};
  const ReducedAngle angle = reduce_angle(x);
  const double s = sin_kernel(angle.high, angle.low);
  const double c = cos_kernel(angle.high, angle.low);
  switch (angle.quadrant) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

double sin_d(double x) { return sincos_d(x).sin; }

double cos_d(double x) { return sincos_d(x).cos; }

double bessel_i0(double x) {
  // Sum of ((x/2)^k / k!)^2: all terms positive, so nothing cancels.
  const double quarter_square = 0.25 * x * x;
  double term = 1.0;
  double sum = 1.0;
  for (int k = 1; k <= 500; ++k) {
    term *= quarter_square / (static_cast<double>(k) * k);
    sum += term;
    if (term < sum * 0x1p-55) break;
  }
  return sum;
}

}  // namespace ptts

// See rng.h. The order of operations follows the reference number for number; where it works in float32, so does this
// code, and only logarithm, sine and cosine are taken in double and rounded (the goldens agree within 1e-6).
#include "rng.h"

#include <algorithm>
#include <cmath>

#include "maths.h"
#include "status.h"

namespace ptts {
namespace {

constexpr size_t kBlock = 16;

// Whether at least 30 % of a normal's draws fall inside [-clamp, clamp]: erf(ratio / sqrt 2) > 0.3.
constexpr double kRatioOfThirtyPercent = 0.3853204664075677;

// A whole-tensor redraw leaves at most 70 % of the missing values missing: 1000 rounds never end without success
// unless the generator is broken.
constexpr int kMaxRounds = 1000;

// Truncated draws are one latent wide; a fixed room for the redraw keeps the heap out of a step.
constexpr size_t kMaxTruncated = 1024;

// One block of uniforms becomes one block of normals, in place.
void box_muller_block(float* block, float std) {
  for (size_t j = 0; j < kBlock / 2; ++j) {
    const float u1 = 1.0f - block[j];  // (0, 1]: the logarithm is finite
    const float u2 = block[j + kBlock / 2];
    const float radius = static_cast<float>(std::sqrt(-2.0 * log_d(u1)));
    const float theta = static_cast<float>(2.0 * kPi * u2);
    const SinCos angle = sincos_d(theta);
    block[j] = radius * static_cast<float>(angle.cos) * std;
    block[j + kBlock / 2] = radius * static_cast<float>(angle.sin) * std;
  }
}

uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  return x;
}

bool is_positive_and_finite(double x) { return x > 0.0 && x <= 1.7976931348623157e308; }

}  // namespace

Generator::Generator(uint64_t seed) {
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < kStateSize; ++i) {
    const uint32_t previous = state_[i - 1];
    state_[i] = 1812433253u * (previous ^ (previous >> 30)) + i;
  }
}

void Generator::refill() {
  constexpr size_t kMiddle = 397;
  for (size_t i = 0; i < kStateSize; ++i) {
    const uint32_t joined = (state_[i] & 0x80000000u) | (state_[(i + 1) % kStateSize] & 0x7fffffffu);
    const uint32_t twist = (joined & 1u) != 0 ? 0x9908b0dfu : 0u;
    state_[i] = state_[(i + kMiddle) % kStateSize] ^ (joined >> 1) ^ twist;
  }
  used_ = 0;
}

uint32_t Generator::next() {
  if (used_ == kStateSize) refill();
  uint32_t y = state_[used_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  y ^= y >> 18;
  return y;
}

float Generator::next_float() { return static_cast<float>(next() & 0xffffffu) * 0x1p-24f; }

double Generator::next_double() {
  const uint64_t first = next();
  const uint64_t second = next();
  constexpr uint64_t kMask = (uint64_t{1} << 53) - 1;
  return static_cast<double>(((first << 32) | second) & kMask) * 0x1p-53;
}

double Generator::next_normal() {
  if (has_kept_normal_) {
    has_kept_normal_ = false;
    return kept_normal_;
  }
  const double u1 = next_double();
  const double u2 = next_double();
  const double radius = std::sqrt(-2.0 * log_d(1.0 - u2));
  const SinCos angle = sincos_d(2.0 * kPi * u1);
  kept_normal_ = radius * angle.sin;
  has_kept_normal_ = true;
  return radius * angle.cos;
}

void Generator::normal(float* out, size_t n, double std) {
  if (n < kBlock) {
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(next_normal() * std);
    return;
  }
  const float narrow_std = static_cast<float>(std);
  uniform(out, n, 0.0f, 1.0f);
  for (size_t i = 0; i + kBlock <= n; i += kBlock) box_muller_block(out + i, narrow_std);
  if (n % kBlock != 0) {  // the last 16 values are drawn again, some of them for the second time
    float* last = out + (n - kBlock);
    uniform(last, kBlock, 0.0f, 1.0f);
    box_muller_block(last, narrow_std);
  }
}

void Generator::uniform(float* out, size_t n, float from, float to) {
  const float width = to - from;
  for (size_t i = 0; i < n; ++i) out[i] = next_float() * width + from;
}

ptts_status Generator::truncated_normal(float* out, size_t n, double std, double clamp) {
  if (!is_positive_and_finite(clamp)) {
    return fail(PTTS_ERROR_ARGUMENT, "noise_clamp: expected a finite number above 0, found %g", clamp);
  }
  if (!is_positive_and_finite(std)) {
    return fail(PTTS_ERROR_ARGUMENT,
                "temperature: expected a finite number above 0 together with noise_clamp, found a "
                "standard deviation of %g",
                std);
  }
  if (clamp / std > kRatioOfThirtyPercent) {
    return redraw_outside(out, n, std, static_cast<float>(clamp));
  }
  return accept_uniforms(out, n, static_cast<float>(std), static_cast<float>(clamp));
}

// Draws the whole tensor again until every element was inside once; the first hit of each element counts.
ptts_status Generator::redraw_outside(float* out, size_t n, double std, float clamp) {
  const auto outside = [clamp](float x) { return x < -clamp || x > clamp; };
  std::array<float, kMaxTruncated> again;
  if (n > again.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "noise_clamp: expected at most %zu values in one draw, found %zu",
                again.size(), n);
  }
  normal(out, n, std);
  for (int round = 0; round < kMaxRounds; ++round) {
    if (std::none_of(out, out + n, outside)) return PTTS_OK;
    normal(again.data(), n, std);
    for (size_t i = 0; i < n; ++i) {
      if (outside(out[i])) out[i] = again[i];
    }
  }
  return fail(PTTS_ERROR_ARGUMENT,
              "noise_clamp: expected draws inside [-%g, %g] within %d rounds of std %g, found none",
              static_cast<double>(clamp), static_cast<double>(clamp), kMaxRounds, std);
}

// For a clamp so narrow that redrawing would waste most draws: uniforms, accepted with the density of the normal.
ptts_status Generator::accept_uniforms(float* out, size_t n, float std, float clamp) {
  std::array<float, kMaxTruncated> candidates;
  std::array<float, kMaxTruncated> levels;
  std::array<bool, kMaxTruncated> pending;
  if (n > candidates.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "noise_clamp: expected at most %zu values in one draw, found %zu",
                candidates.size(), n);
  }
  std::fill_n(pending.begin(), n, true);
  for (int round = 0; round < kMaxRounds; ++round) {
    uniform(candidates.data(), n, -clamp, clamp);
    uniform(levels.data(), n, 0.0f, 1.0f);
    bool any_pending = false;
    for (size_t i = 0; i < n; ++i) {
      if (!pending[i]) continue;
      out[i] = candidates[i];
      const float ratio = candidates[i] / std;
      const float log_density = ratio * ratio * -0.5f;
      pending[i] = static_cast<float>(log_d(levels[i])) > log_density;
      any_pending = any_pending || pending[i];
    }
    if (!any_pending) return PTTS_OK;
  }
  return fail(PTTS_ERROR_ARGUMENT,
              "noise_clamp: expected draws inside [-%g, %g] within %d rounds of std %g, found none",
              static_cast<double>(clamp), static_cast<double>(clamp), kMaxRounds, static_cast<double>(std));
}

uint32_t chunk_seed(uint64_t seed, uint32_t chunk) {
  const uint32_t low = static_cast<uint32_t>(seed);
  if (chunk == 0) return low;
  return mix(mix(low ^ 0x5bd1e995u) + chunk * 0x9e3779b9u);
}

}  // namespace ptts

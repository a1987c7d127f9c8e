// Resampling and the end on a pause; see audio.h. The WAV reader is in wav.cpp.
#include "audio.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "maths.h"

namespace ptts {
namespace {

constexpr double kKaiserBeta = 5.0;
constexpr uint64_t kHalfLengthPerRate = 10;  // filter taps on each side, per unit of the larger rate

// A polyphase low-pass filter. Output m sits at m * down on the grid of `up` points per input sample; its phase is that
// position modulo `up`. All taps of a phase lie side by side, in the order in which they meet the input.
struct PolyphaseFilter {
  uint64_t up;
  uint64_t down;
  size_t reach;        // input samples before the current one
  size_t width;        // taps per phase
  Buffer<float> taps;  // [up, width]

  [[nodiscard]] ptts_status design();
};

// sin(pi n / rate) / (pi n / rate) * kaiser(n / half), unnormalised, for 0 <= n <= half.
double windowed_sinc(uint64_t n, uint64_t rate, uint64_t half) {
  if (n == 0) return bessel_i0(kKaiserBeta);
  const double angle = kPi * static_cast<double>(n) / static_cast<double>(rate);
  const double position = static_cast<double>(n) / static_cast<double>(half);
  const double window = bessel_i0(kKaiserBeta * std::sqrt(1.0 - position * position));
  return sin_d(angle) / angle * window;
}

ptts_status PolyphaseFilter::design() {
  const uint64_t rate = std::max(up, down);
  const uint64_t half = kHalfLengthPerRate * rate;
  reach = static_cast<size_t>(half / up);
  width = 2 * reach + 2;
  Buffer<double> side;  // the filter is symmetric: one side of it is enough
  PTTS_TRY(side.allocate(static_cast<size_t>(half + 1), "resampling filter"));
  PTTS_TRY(taps.allocate(static_cast<size_t>(up) * width, "resampling filter"));
  double sum = 0.0;
  for (size_t n = side.size(); n-- > 0;) {  // small terms first
    side[n] = windowed_sinc(n, rate, half);
    sum += n == 0 ? side[n] : 2.0 * side[n];
  }

  for (uint64_t phase = 0; phase < up; ++phase) {
    float* row = taps.data() + static_cast<size_t>(phase) * width;
    for (size_t i = 0; i < width; ++i) {
      // Tap i meets input sample q - reach + i, `distance` grid points from the output.
      const int64_t distance =
          static_cast<int64_t>(phase) +
          (static_cast<int64_t>(reach) - static_cast<int64_t>(i)) * static_cast<int64_t>(up);
      const uint64_t n = static_cast<uint64_t>(distance < 0 ? -distance : distance);
      if (n > half) continue;  // the buffer is zero there
      // Rounded to float32 before the gain, as the reference does.
      row[i] = static_cast<float>(side[static_cast<size_t>(n)] / sum) * static_cast<float>(up);
    }
  }
  return PTTS_OK;
}

}  // namespace

float linspace_at(float start, float end, size_t steps, size_t i) {
  if (steps < 2) return start;
  const float step = (end - start) / static_cast<float>(steps - 1);
  if (i < steps / 2) return start + step * static_cast<float>(i);
  return end - step * static_cast<float>(steps - 1 - i);
}

ptts_status check_samples(const float* samples, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(samples[i])) {
      return fail(PTTS_ERROR_AUDIO, "audio: sample %zu: expected a finite number, found %s", i,
                  std::isnan(samples[i]) ? "NaN" : "infinity");
    }
  }
  return PTTS_OK;
}

ptts_status resample(const float* samples, size_t count, uint32_t from_rate, uint32_t to_rate,
                     Buffer<float>* out) {
  for (const uint32_t rate : {from_rate, to_rate}) {
    if (rate < kMinSampleRate || rate > kMaxSampleRate) {
      return fail(PTTS_ERROR_AUDIO, "audio: sample rate: expected %u to %u Hz, found %u", kMinSampleRate,
                  kMaxSampleRate, rate);
    }
  }
  if (count == 0) return fail(PTTS_ERROR_AUDIO, "audio: expected at least 1 sample, found 0");
  const uint64_t divisor = std::gcd(from_rate, to_rate);
  PolyphaseFilter filter{
      .up = to_rate / divisor, .down = from_rate / divisor, .reach = 0, .width = 0, .taps = {}};
  // count <= 2^50 or so on any machine, up <= 768000: no overflow before the check.
  if (count > kMaxSamples || count * filter.up > kMaxSamples * filter.down) {
    return fail(PTTS_ERROR_AUDIO, "audio: expected at most %llu samples at %u Hz, found %zu at %u Hz",
                static_cast<unsigned long long>(kMaxSamples), to_rate, count, from_rate);
  }
  PTTS_TRY(check_samples(samples, count));
  Buffer<float> result;
  if (from_rate == to_rate) {
    PTTS_TRY(result.allocate(count, "audio samples"));
    std::memcpy(result.data(), samples, count * sizeof(float));
    *out = std::move(result);
    return PTTS_OK;
  }
  PTTS_TRY(filter.design());
  const uint64_t out_count = (count * filter.up + filter.down - 1) / filter.down;
  PTTS_TRY(result.allocate(static_cast<size_t>(out_count), "resampled audio"));
  uint64_t current = 0;  // input sample at or before the output
  uint64_t phase = 0;
  for (size_t m = 0; m < result.size(); ++m) {
    const float* row = filter.taps.data() + static_cast<size_t>(phase) * filter.width;
    const size_t q = static_cast<size_t>(current);
    const size_t first = q < filter.reach ? filter.reach - q : 0;
    const size_t last = std::min(filter.width, count + filter.reach - q);  // zeros outside of the input
    const float* x = samples + (q + first - filter.reach);
    double sum = 0.0;
    for (size_t i = first; i < last; ++i, ++x) sum += static_cast<double>(row[i]) * static_cast<double>(*x);
    result[m] = static_cast<float>(sum);
    phase += filter.down;
    current += phase / filter.up;
    phase %= filter.up;
  }
  *out = std::move(result);
  return PTTS_OK;
}

ptts_status end_on_pause(const float* samples, size_t count, Buffer<float>* out) {
  constexpr size_t kFrame = 480;                   // 20 ms
  constexpr size_t kPause = 1920;                  // 80 ms
  constexpr double kFloor = 0.017782794100389228;  // 10^(-35/20)
  constexpr double kSilence = 1e-12;  // keeps the logarithm of the reference finite: all zeros are loud
  if (count > kMaxSamples) {
    return fail(PTTS_ERROR_AUDIO, "audio: expected at most %llu samples, found %zu",
                static_cast<unsigned long long>(kMaxSamples), count);
  }
  PTTS_TRY(check_samples(samples, count));
  Buffer<float> result;
  const size_t frames = count / kFrame;
  if (frames == 0) {
    PTTS_TRY(result.allocate(count, "audio samples"));
    if (count > 0) std::memcpy(result.data(), samples, count * sizeof(float));
    *out = std::move(result);
    return PTTS_OK;
  }
  const auto level = [samples](size_t frame) {
    double sum = 0.0;
    for (size_t i = frame * kFrame; i < (frame + 1) * kFrame; ++i) {
      sum += static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
    }
    return std::sqrt(sum / kFrame) + kSilence;
  };
  double loudest = 0.0;
  for (size_t f = 0; f < frames; ++f) loudest = std::max(loudest, level(f));
  size_t last = frames - 1;
  while (level(last) <= loudest * kFloor) --last;  // ends at the loudest at the latest
  const size_t end = (last + 1) * kFrame;
  PTTS_TRY(result.allocate(end + kPause, "audio samples"));
  std::memcpy(result.data(), samples, end * sizeof(float));
  for (size_t i = 0; i < kFrame; ++i) result[end - kFrame + i] *= linspace_at(1.0f, 0.0f, kFrame, i);
  *out = std::move(result);
  return PTTS_OK;
}

}  // namespace ptts

#include "stretch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <type_traits>

#include "maths.h"

// The one function that the library takes from the C library and whose bits differ between hosts, replaced by name.
namespace std {
template <class T>
complex<T> ptts_polar(const T& length, const T& angle) {  // NOLINT(cert-dcl58-cpp)
  const ptts::SinCos at = ptts::sincos_d(static_cast<double>(angle));
  return {length * static_cast<T>(at.cos), length * static_cast<T>(at.sin)};
}
}  // namespace std
#define polar ptts_polar
#include "signalsmith-stretch/signalsmith-stretch.h"
#undef polar

namespace ptts {

namespace {

constexpr float kMinSpeed = 0.25F, kMaxSpeed = 4.0F, kMaxSample = 100.0F;
constexpr uint32_t kMinRate = 8000, kMaxRate = 192000;
// Input that may wait: a quarter of an hour at 24 kHz.
constexpr size_t kMaxWaiting = size_t{24000} * 900;
constexpr double kBlockSeconds = 0.12, kIntervalSeconds = 0.03;

// 24 bits at a time: a whole draw fills a float, and every C++ library makes the same float of it.
class Draws {
 public:
  using result_type = uint32_t;
  explicit Draws(long seed) : state_(static_cast<uint32_t>(seed)) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return (1U << 24) - 1; }
  result_type operator()() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> 8;
  }

 private:
  uint32_t state_;
};

}  // namespace

struct Stretch::Library {
  signalsmith::stretch::SignalsmithStretch<float, Draws> stretch{1};
};

Stretch::Stretch() = default;
Stretch::~Stretch() = default;

ptts_status Stretch::open(uint32_t sample_rate, float speed) {
  if (sample_rate < kMinRate || sample_rate > kMaxRate) {
    return fail(PTTS_ERROR_ARGUMENT, "sample_rate: expected %u to %u, found %u", kMinRate, kMaxRate,
                sample_rate);
  }
  if (!(speed >= kMinSpeed && speed <= kMaxSpeed)) {
    return fail(PTTS_ERROR_ARGUMENT, "speed: expected 0.25 to 4, found %g", static_cast<double>(speed));
  }
  speed_ = static_cast<double>(speed);
  if (speed == 1.0F) return PTTS_OK;
  library_ = std::make_unique<Library>();
  auto& stretch = library_->stretch;
  stretch.configure(1, static_cast<int>(sample_rate * kBlockSeconds),
                    static_cast<int>(sample_rate * kIntervalSeconds));
  interval_ = static_cast<size_t>(stretch.intervalSamples());
  lookahead_ = static_cast<size_t>(stretch.outputSeekLength(speed));
  return PTTS_OK;
}

ptts_status Stretch::write(std::span<const float> samples) {
  if (ended_) return fail(PTTS_ERROR_STATE, "stretch: samples after the end");
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!(std::abs(samples[i]) <= kMaxSample)) {
      return fail(PTTS_ERROR_AUDIO, "stretch: expected samples within -100 and 100, found %g at %zu",
                  static_cast<double>(samples[i]), i);
    }
  }
  if (samples.size() > kMaxWaiting || input_end_ - input_begin_ + samples.size() > kMaxWaiting) {
    return fail(PTTS_ERROR_ARGUMENT, "stretch: expected at most %zu samples that wait to be read",
                kMaxWaiting);
  }
  input_.insert(input_.end(), samples.begin(), samples.end());
  input_end_ += samples.size();
  return PTTS_OK;
}

// Samples of the whole result, as far as it is known.
size_t Stretch::wanted() const {
  if (!ended_) return std::numeric_limits<size_t>::max();
  return static_cast<size_t>(std::floor(static_cast<double>(input_end_) / speed_ + 0.5));
}

// `count` samples of input from `position` on; behind the end it is silent. Null when they are still to come.
const float* Stretch::input_at(size_t position, size_t count) {
  if (position + count > input_end_) {
    if (!ended_) return nullptr;
    input_.resize(std::max(input_.size(), position + count - input_begin_), 0.0F);
  }
  return input_.data() + (position - input_begin_);
}

void Stretch::drop_input(size_t position) {
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(position - input_begin_));
  input_begin_ = position;
}

// Makes the next block of output; false when its input is still to come.
bool Stretch::produce() {
  if (library_ == nullptr) {
    output_.assign(input_.begin(), input_.end());
    drop_input(input_end_);
    return !output_.empty();
  }
  auto& stretch = library_->stretch;
  if (!started_) {
    const float* source = input_at(0, lookahead_);
    if (source == nullptr) return false;
    const float* channels[1] = {source};
    stretch.outputSeek(channels, static_cast<int>(lookahead_));
    drop_input(lookahead_);
    started_ = true;
  }
  const auto boundary = [this](size_t block) {
    return lookahead_ + static_cast<size_t>(std::floor(static_cast<double>(block * interval_) * speed_));
  };
  const size_t begin = boundary(blocks_), end = boundary(blocks_ + 1);
  const float* source = input_at(begin, end - begin);
  if (source == nullptr) return false;
  output_.resize(interval_);
  const float* channels[1] = {source};
  float* results[1] = {output_.data()};
  stretch.process(channels, static_cast<int>(end - begin), results, static_cast<int>(interval_));
  drop_input(end);
  ++blocks_;
  return true;
}

size_t Stretch::read(std::span<float> out) {
  size_t written = 0;
  const size_t whole = wanted();
  while (written < out.size() && output_total_ < whole) {
    if (output_read_ == output_.size()) {
      output_.clear();
      output_read_ = 0;
      if (!produce()) break;
    }
    const size_t count =
        std::min({out.size() - written, output_.size() - output_read_, whole - output_total_});
    std::copy_n(output_.begin() + static_cast<ptrdiff_t>(output_read_), count,
                out.begin() + static_cast<ptrdiff_t>(written));
    output_read_ += count;
    output_total_ += count;
    written += count;
  }
  return written;
}

}  // namespace ptts

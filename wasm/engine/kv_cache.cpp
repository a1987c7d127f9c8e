// Keys and values, in f32 and in int16.
#include "kv_cache.h"

#include <algorithm>
#include <cmath>

namespace ptts {

namespace {

void quantize(const float* x, size_t ld, size_t rows, size_t n, size_t width, int32_t limit, int16_t* q,
              float* scales) {
  kernels::quantize_rows_i16(kernels::Activation::kNone, x, ld, rows, n, width, limit, nullptr, q, scales);
}

// With the least power of two that all values of a row are at most `limit` times as large as.
void quantize_steadily(const float* x, size_t ld, size_t rows, size_t n, size_t width, int32_t limit,
                       int16_t* q, float* scales) {
  const auto most = static_cast<float>(limit);
  for (size_t r = 0; r < rows; ++r, x += ld, q += width) {
    float largest = 0;
    for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
    int exponent = 0;
    std::frexp(largest / most, &exponent);
    if (std::ldexp(most, exponent - 1) >= largest) --exponent;
    // Below, nothing is lost; above, values would not be floats.
    exponent = std::clamp(exponent, -100, 127 - std::ilogb(most));
    const float inverse = std::ldexp(1.0f, -exponent);
    for (size_t i = 0; i < width; ++i) {
      const float rounded = i < n ? (x[i] * inverse + kernels::kRound) - kernels::kRound : 0;
      q[i] = static_cast<int16_t>(std::clamp(rounded, -most, most));
    }
    scales[r] = std::ldexp(1.0f, exponent);
  }
}

}  // namespace

ptts_status KvCache::allocate(const TransformerConfig& config, size_t capacity, bool integer) {
  integer_ = integer;
  heads_ = config.kv_heads;
  d_ = config.head_dim();
  width_ = integer ? (d_ + 7) / 8 * 8 : d_;
  capacity_ = capacity;
  const size_t rows = heads_ * capacity;
  if (!integer) {
    PTTS_TRY(k_.allocate_unset(rows * width_, "key cache"));
    return v_.allocate_unset(rows * width_, "value cache");
  }
  PTTS_TRY(k16_.allocate_unset(rows * width_, "key cache"));
  PTTS_TRY(v16_.allocate_unset(rows * width_, "value cache"));
  // The scales behind the last position are read, and must be numbers.
  PTTS_TRY(k_scales_.allocate(rows, "key cache"));
  PTTS_TRY(v_scales_.allocate(rows, "value cache"));
  return row_.allocate(width_, "value cache");
}

ptts_status KvCache::grow(size_t capacity, size_t cached) {
  const auto enlarge = [&](auto& buffer, size_t width) -> ptts_status {
    if (buffer.empty()) return PTTS_OK;
    std::remove_reference_t<decltype(buffer)> larger;
    PTTS_TRY(larger.allocate(heads_ * capacity * width, "key/value cache"));
    const size_t own = cached > split_ ? cached - split_ : 0,
                 kept = (own + 1) / 2 * 2;  // values come in pairs
    for (size_t h = 0; h < heads_; ++h) {
      std::copy_n(buffer.data() + h * capacity_ * width, std::min(kept, capacity_) * width,
                  larger.data() + h * capacity * width);
    }
    buffer = std::move(larger);
    return PTTS_OK;
  };
  PTTS_TRY(enlarge(k_, width_));
  PTTS_TRY(enlarge(v_, width_));
  PTTS_TRY(enlarge(k16_, width_));
  PTTS_TRY(enlarge(v16_, width_));
  PTTS_TRY(enlarge(k_scales_, 1));
  PTTS_TRY(enlarge(v_scales_, 1));
  capacity_ = capacity;
  return PTTS_OK;
}

void KvCache::put(size_t position, size_t rows, const float* k, const float* v, size_t ld) {
  put_with(quantize, position, rows, k, v, ld);
}

void KvCache::put_steady(size_t position, size_t rows, const float* k, const float* v, size_t ld) {
  put_with(quantize_steadily, position, rows, k, v, ld);
}

void KvCache::put_with(Quantize quantize, size_t position, size_t rows, const float* k, const float* v,
                       size_t ld) {
  for (size_t h = 0; h < heads_; ++h, k += d_, v += d_) {
    const size_t first = h * capacity_ + position - split_;
    if (!integer()) {
      for (size_t r = 0; r < rows; ++r) {
        std::copy_n(k + r * ld, d_, k_.data() + (first + r) * d_);
        std::copy_n(v + r * ld, d_, v_.data() + (first + r) * d_);
      }
      continue;
    }
    quantize(k, ld, rows, d_, width_, key_limit(), k16_.data() + first * width_, k_scales_.data() + first);
    for (size_t r = 0; r < rows; ++r) {
      const size_t at = first + r;
      quantize(v + r * ld, ld, 1, d_, width_, kernels::kValueMax, row_.data(), v_scales_.data() + at);
      int16_t* pair = v16_.data() + at / 2 * 2 * width_ + at % 2;
      for (size_t i = 0; i < width_; ++i) pair[2 * i] = row_[i];
    }
  }
}

void KvCache::get(size_t position, size_t rows, float* k, float* v) const {
  for (size_t p = position; p < position + rows; ++p) {
    if (p < split_) {
      shared_->get(p, 1, k, v);
      k += heads_ * d_;
      v += heads_ * d_;
      continue;
    }
    for (size_t h = 0; h < heads_; ++h, k += d_, v += d_) {
      const size_t at = h * capacity_ + p - split_;
      if (!integer()) {
        std::copy_n(k_.data() + at * d_, d_, k);
        std::copy_n(v_.data() + at * d_, d_, v);
        continue;
      }
      const int16_t* key = k16_.data() + at * width_;
      const int16_t* pair = v16_.data() + at / 2 * 2 * width_ + at % 2;
      for (size_t i = 0; i < d_; ++i) {
        k[i] = static_cast<float>(key[i]) * k_scales_[at];
        v[i] = static_cast<float>(pair[2 * i]) * v_scales_[at];
      }
    }
  }
}

void KvCache::drop(size_t count, size_t cached) {
  const auto shift = [&](auto& buffer, size_t width) {
    if (buffer.empty()) return;
    const size_t end = std::min((cached + 1) / 2 * 2, capacity_);
    for (size_t h = 0; h < heads_; ++h) {  // forward copies: the target lies before the source
      auto* head = buffer.data() + h * capacity_ * width;
      std::copy(head + count * width, head + end * width, head);
    }
  };
  shift(k_, width_);
  shift(v_, width_);
  shift(k16_, width_);
  shift(v16_, width_);
  shift(k_scales_, 1);
  shift(v_scales_, 1);
}

void KvCache::attend(size_t head, const float* q, size_t ldq, size_t rows, size_t first_end, size_t context,
                     float scale, Scratch& scratch, float* out, size_t ldo) const {
  const KvCache& first = split_ > 0 ? *shared_ : *this;
  if (!integer()) {
    kernels::attend(q, ldq, rows, {first.float_part(head), float_part(head), split_}, first_end, context, d_,
                    scale, scratch.scores.data(), out, ldo);
    return;
  }
  quantize(q, ldq, rows, d_, width_, key_limit(), scratch.queries.data(), scratch.query_scales.data());
  kernels::attend_i16({scratch.queries.data(),
                       scratch.query_scales.data(),
                       {first.integer_part(head), integer_part(head), split_},
                       width_},
                      rows, first_end, context, d_, scale, scratch.scores.data(), scratch.weights.data(), out,
                      ldo);
}

ptts_status KvCache::reserve(size_t rows, size_t positions, Scratch& scratch) const {
  const size_t weights = 2 * (positions + rows + 8);
  PTTS_TRY(scratch.scores.grow(weights, "attention scores"));
  if (!integer()) return PTTS_OK;
  PTTS_TRY(scratch.weights.grow(weights, "attention scores"));
  PTTS_TRY(scratch.queries.grow(rows * width_, "attention queries"));
  return scratch.query_scales.grow(rows, "attention queries");
}

}  // namespace ptts

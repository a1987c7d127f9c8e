// Keys and values, in f32 and in int16.
#include "kv_cache.h"

#include <algorithm>

namespace ptts {

using kernels::Activation;

ptts_status KvCache::allocate(const TransformerConfig& config, size_t capacity, bool integer) {
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
    const size_t kept = (cached + 1) / 2 * 2;  // values come in pairs
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
  for (size_t h = 0; h < heads_; ++h, k += d_, v += d_) {
    const size_t first = h * capacity_ + position;
    if (!integer()) {
      for (size_t r = 0; r < rows; ++r) {
        std::copy_n(k + r * ld, d_, k_.data() + (first + r) * d_);
        std::copy_n(v + r * ld, d_, v_.data() + (first + r) * d_);
      }
      continue;
    }
    kernels::quantize_rows_i16(Activation::kNone, k, ld, rows, d_, width_, key_limit(), nullptr,
                               k16_.data() + first * width_, k_scales_.data() + first);
    for (size_t r = 0; r < rows; ++r) {
      const size_t at = first + r;
      kernels::quantize_rows_i16(Activation::kNone, v + r * ld, ld, 1, d_, width_, kernels::kValueMax,
                                 nullptr, row_.data(), v_scales_.data() + at);
      int16_t* pair = v16_.data() + at / 2 * 2 * width_ + at % 2;
      for (size_t i = 0; i < width_; ++i) pair[2 * i] = row_[i];
    }
  }
}

void KvCache::get(size_t positions, float* k, float* v) const {
  for (size_t p = 0; p < positions; ++p) {
    for (size_t h = 0; h < heads_; ++h, k += d_, v += d_) {
      const size_t at = h * capacity_ + p;
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
  const size_t at = head * capacity_;
  if (!integer()) {
    kernels::attend(q, ldq, rows, k_.data() + at * d_, v_.data() + at * d_, first_end, context, d_, scale,
                    scratch.scores.data(), out, ldo);
    return;
  }
  kernels::quantize_rows_i16(Activation::kNone, q, ldq, rows, d_, width_, key_limit(), nullptr,
                             scratch.queries.data(), scratch.query_scales.data());
  kernels::attend_i16({scratch.queries.data(), scratch.query_scales.data(), k16_.data() + at * width_,
                       k_scales_.data() + at, v16_.data() + at * width_, v_scales_.data() + at, width_},
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

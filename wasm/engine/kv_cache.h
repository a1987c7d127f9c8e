// The keys and values that a transformer layer keeps of the positions it has seen.
#ifndef PTTS_KV_CACHE_H_
#define PTTS_KV_CACHE_H_

#include "config.h"
#include "matrix.h"

namespace ptts {

// Head by head, so that a head's rows lie behind each other.  A layer with integer weights keeps
// int16 with a scale for each row (see kernels.inc, attend_i16), half the memory of f32.
class KvCache {
 public:
  // Room for `capacity` positions (a multiple of 4).
  [[nodiscard]] ptts_status allocate(const TransformerConfig& config, size_t capacity, bool integer);
  // More room; keeps the first `cached` positions.
  [[nodiscard]] ptts_status grow(size_t capacity, size_t cached);

  // The first positions (a multiple of 4) are another cache's, of the same shape and kind of numbers, which must outlive this
  // one; what is allocated here is for those behind them.  Not in layers with a context.
  void share(const KvCache& other, size_t positions) {
    shared_ = &other;
    split_ = positions;
  }

  // Writes positions [position, position + rows) from rows of kv_dim floats, `ld` apart, and reads them.
  void put(size_t position, size_t rows, const float* k, const float* v, size_t ld);
  void get(size_t position, size_t rows, float* k, float* v) const;
  // As put, but int16 get powers of two for scales: what was rounded once is not changed by being read and put again.
  void put_steady(size_t position, size_t rows, const float* k, const float* v, size_t ld);
  // Forgets the first `count` (a multiple of 4) of `cached` positions.
  void drop(size_t count, size_t cached);

  // The attention of `rows` queries with one key/value head (see kernels.inc, attend).
  void attend(size_t head, const float* q, size_t ldq, size_t rows, size_t first_end, size_t context,
              float scale, Scratch& scratch, float* out, size_t ldo) const;
  // Makes `scratch` large enough for `rows` queries and `positions` before them.
  [[nodiscard]] ptts_status reserve(size_t rows, size_t positions, Scratch& scratch) const;

  bool integer() const { return integer_; }

 private:
  int32_t key_limit() const { return kernels::attention_limit(width_); }
  using Quantize = void (*)(const float* x, size_t ld, size_t rows, size_t n, size_t width, int32_t limit,
                            int16_t* q, float* scales);
  void put_with(Quantize quantize, size_t position, size_t rows, const float* k, const float* v, size_t ld);
  kernels::FloatPart float_part(size_t head) const {
    return {k_.data() + head * capacity_ * d_, v_.data() + head * capacity_ * d_};
  }
  kernels::IntegerPart integer_part(size_t head) const {
    const size_t at = head * capacity_;
    return {k16_.data() + at * width_, k_scales_.data() + at, v16_.data() + at * width_,
            v_scales_.data() + at};
  }

  bool integer_ = false;
  size_t heads_ = 0, d_ = 0, capacity_ = 0;
  size_t width_ = 0;                   // of a row in memory: head_dim, in int16 rounded up to 8
  Buffer<float> k_, v_;                // [heads][capacity][width]
  Buffer<int16_t> k16_, v16_;          // the same; values as [heads][capacity / 2][width][2]
  Buffer<float> k_scales_, v_scales_;  // [heads][capacity]
  Buffer<int16_t> row_;                // one row of values
  const KvCache* shared_ = nullptr;
  size_t split_ = 0;  // positions of `shared_`
};

}  // namespace ptts

#endif

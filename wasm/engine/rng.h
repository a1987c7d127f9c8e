// The random numbers of the reference: PyTorch's CPU generator, so that a seed means the same speech here and there.
//
//   bits       MT19937, seeded with the low 32 bits of the seed
//   uniform    24 low bits of one output / 2^24 (float), or 53 low bits of two outputs / 2^53 (double)
//   normal     16 values or more: Box-Muller over blocks of 16 float uniforms; fewer: Box-Muller on doubles, one value
//              at a time, whose second half is kept for the next value, across calls
//
// Temperature 0 still consumes its numbers: callers draw with std 0.
#ifndef PTTS_RNG_H_
#define PTTS_RNG_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "pocket_tts.h"

namespace ptts {

class Generator {
 public:
  explicit Generator(uint64_t seed);

  // `n` normals with mean 0. `std` is a double because the reference's is: sqrt(temperature).
  void normal(float* out, size_t n, double std);

  // `n` normals inside [-clamp, clamp], as trunc_normal_ of torch 2.15 draws them.
  // Refuses std or clamp that are not positive and finite (the reference divides by zero at std 0).
  ptts_status truncated_normal(float* out, size_t n, double std, double clamp);

  // `n` floats in [from, to).
  void uniform(float* out, size_t n, float from, float to);

 private:
  static constexpr size_t kStateSize = 624;

  uint32_t next();
  void refill();
  float next_float();
  double next_double();
  double next_normal();
  ptts_status redraw_outside(float* out, size_t n, double std, float clamp);
  ptts_status accept_uniforms(float* out, size_t n, float std, float clamp);

  std::array<uint32_t, kStateSize> state_;
  size_t used_ = kStateSize;
  bool has_kept_normal_ = false;
  double kept_normal_ = 0.0;
};

// Seed of a chunk's own random stream (PTTS_RNG_CHUNK). With s = low 32 bits of `seed`, all modulo 2^32:
//
//   chunk 0:  s, so that a text of one chunk sounds as in the reference
//   chunk i:  mix(mix(s ^ 0x5bd1e995) + i * 0x9e3779b9)
//   mix(x):   x ^= x >> 16; x *= 0x85ebca6b; x ^= x >> 13; x *= 0xc2b2ae35; x ^= x >> 16
//
// mix is a bijection, so the chunks 1, 2, 3 ... of one seed never share a stream.
uint32_t chunk_seed(uint64_t seed, uint32_t chunk);

}  // namespace ptts
#endif

// 128-bit vectors: WebAssembly simd128, or SSE4.1 in native builds (the same bits).  Written with the compiler's vector
// types, so that one text serves both; only what these cannot say has two forms.
#ifndef PTTS_SIMD128_H_
#define PTTS_SIMD128_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#else
#error "the engine needs simd128 or SSE4.1"
#endif

// A function of its own: V8 moves it to its optimising compiler between calls.
#define PTTS_NOINLINE __attribute__((noinline))

namespace ptts::kernels::simd128 {

typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));
typedef uint32_t U32x4 __attribute__((vector_size(16)));
typedef int16_t I16x8 __attribute__((vector_size(16)));
typedef uint16_t U16x8 __attribute__((vector_size(16)));
typedef int8_t I8x8 __attribute__((vector_size(8)));
typedef uint8_t U8x8 __attribute__((vector_size(8)));
typedef int8_t I8x16 __attribute__((vector_size(16)));

template <typename V, typename T>
inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}
template <typename V, typename T>
inline void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}
inline F32x4 splat(float x) { return F32x4{x, x, x, x}; }
inline F32x4 to_f32(I32x4 v) { return __builtin_convertvector(v, F32x4); }
inline F32x4 magnitude(F32x4 v) { return (F32x4)((U32x4)v & 0x7fffffffu); }
inline F32x4 max(F32x4 a, F32x4 b) { return a < b ? b : a; }
inline float lanes_total(F32x4 v) { return (v[0] + v[1]) + (v[2] + v[3]); }

// Eight weights as int16.
inline I16x8 load_i16(const int16_t* p) { return load<I16x8>(p); }
inline I16x8 load_i16(const int8_t* p) { return __builtin_convertvector(load<I8x8>(p), I16x8); }

// Pairs of products, added.
inline I32x4 dot_i16(I16x8 a, I16x8 b) {
#if defined(__wasm_simd128__)
  return (I32x4)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
  return (I32x4)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}

// Two vectors that fit int16, as one.
inline I16x8 narrow(I32x4 a, I32x4 b) {
#if defined(__wasm_simd128__)
  return (I16x8)wasm_i16x8_narrow_i32x4((v128_t)a, (v128_t)b);
#else
  return (I16x8)_mm_packs_epi32((__m128i)a, (__m128i)b);
#endif
}

// The totals of four vectors, each (l0 + l2) + (l1 + l3).
inline F32x4 totals_02_13(F32x4 a, F32x4 b, F32x4 c, F32x4 d) {
  const F32x4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const F32x4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}
// The totals of four vectors, each (l0 + l1) + (l2 + l3).
inline F32x4 totals_01_23(F32x4 a, F32x4 b, F32x4 c, F32x4 d) {
  const F32x4 ab = __builtin_shufflevector(a, b, 0, 4, 2, 6) + __builtin_shufflevector(a, b, 1, 5, 3, 7);
  const F32x4 cd = __builtin_shufflevector(c, d, 0, 4, 2, 6) + __builtin_shufflevector(c, d, 1, 5, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// Whether the host checks the bounds of every address and unrolls nothing (wazero).
#if defined(__wasi__)
inline constexpr bool kChecked = true;
#else
inline constexpr bool kChecked = false;
#endif

// `columns` of 4, the rest zero.
inline F32x4 load_some(const float* p, size_t columns) {
  if (columns == 4) return load<F32x4>(p);
  float values[4] = {0, 0, 0, 0};
  std::memcpy(values, p, columns * sizeof(float));
  return load<F32x4>(values);
}
inline void store_some(float* p, F32x4 v, size_t columns) {
  if (columns == 4) {
    store(p, v);
  } else {
    std::memcpy(p, &v, columns * sizeof(float));
  }
}

// A loop with compile-time indices 0 .. N-1.  Not a matter of taste: where clang 19 unrolls an ordinary loop it loses the
// constant offsets of the loads, and a host that checks bounds (wazero) then checks every single one.
template <size_t I>
struct Index {
  constexpr operator size_t() const { return I; }
};
template <typename F, size_t... I>
inline __attribute__((always_inline)) void each(F&& f, std::index_sequence<I...>) {
  (f(Index<I>()), ...);
}
template <size_t N, typename F>
inline __attribute__((always_inline)) void each(F&& f) {
  each(f, std::make_index_sequence<N>());
}

// Reads and forgets.
template <typename T>
inline void touch(const T* p) {
  const T value = *p;
  asm volatile("" : : "r"(value));
}

// What a product reads next.  Weights of many megabytes are read once from end to end, and at one place a core has too few
// lines under way: 6.5 GB/s on a Xeon under KVM that reads 13 to 16 at eight places, where its caches fetch ahead at each.
// So the bytes are taken as windows of eight pages, and who works on a window reads, now and then, a line of each page of
// the next one.
class Ahead {
  static constexpr size_t kLine = 64, kPage = 4096, kPages = 8;

 public:
  static constexpr size_t kTurn = kPages * kLine, kWindow = kPages * kPage;

  Ahead(const void* begin, size_t bytes) {
    const size_t skipped = -reinterpret_cast<uintptr_t>(begin) % kPage;
    const size_t windows = bytes > skipped ? (bytes - skipped) / kWindow : 0;
    if (windows < 2) return;
    at_ = static_cast<const uint8_t*>(begin) + skipped + kWindow;
    left_ = (windows - 1) * (kWindow / kTurn);
  }

  // Work goes on with so many bytes.
  void enter(size_t bytes) {
    const size_t due = (bytes + kTurn - 1) / kTurn;
    due_ = due < left_ ? due : left_;
    left_ -= due_;
  }
  // How many times to fetch in each of so many steps on the way.
  size_t in(size_t steps) const { return (due_ + steps - 1) / steps; }
  // A line of each page: due once for every kTurn bytes.
  void fetch() {
    if (due_ == 0) return;
    --due_;
    const uint8_t* line = at_;
    at_ += kLine;
    if (reinterpret_cast<uintptr_t>(at_) % kPage == 0) at_ += kWindow - kPage;
    each<kPages>([&](auto page) {
      const uint8_t* there = line + (kPages - 1 - page) * kPage;
      if constexpr (kChecked) {
        seen_ += *there;
      } else {
        touch(there);
      }
    });
  }

 private:
  const uint8_t* at_ = nullptr;
  size_t left_ = 0, due_ = 0;
  uint32_t seen_ = 0;  // wazero leaves out reads that nobody wants
};

// A constant that stays in a register or in memory.  Left to itself, clang writes vector constants where they are used, and V8
// builds each anew, in up to four instructions, in every turn of a loop.
inline F32x4 held(float x) {
  volatile float hidden = x;
  return splat(hidden);
}

// What exp and the activations need; made once, before a loop.
struct ExpConstants {
  F32x4 low = held(kExpMin), high = held(kExpMax), log2e = held(kLog2E), round = held(kRound),
        ln2_hi = held(kLn2Hi), ln2_lo = held(kLn2Lo), one = held(1.0f), gelu_a = held(kGeluA),
        gelu_b = held(kGeluB);
  F32x4 p[6] = {held(kExpP[0]), held(kExpP[1]), held(kExpP[2]),
                held(kExpP[3]), held(kExpP[4]), held(kExpP[5])};

  F32x4 exp(F32x4 x) const { return exp_below(x > high ? high : x); }
  F32x4 exp_below(F32x4 x) const {  // of what is at most kExpMax
    x = x < low ? low : x;
    const F32x4 shifted = x * log2e + round;
    const F32x4 i = shifted - round;
    F32x4 f = x - i * ln2_hi;
    f = f - i * ln2_lo;
    F32x4 sum = p[0];
    each<5>([&](auto c) { sum = sum * f + p[c + 1]; });
    const F32x4 r = (sum * (f * f) + f) + one;
    // 127 << 23 are the bits of 1, and adding them late is adding 127 before the shift.
    const U32x4 exponent = ((U32x4)shifted << 23) + (U32x4)one;
    return r * (F32x4)exponent;
  }
  // v > 0 ? v : exp(v) - 1 without a choice, which takes V8 four instructions: one of the two sides is 0, as exp(0) is 1.
  F32x4 elu(F32x4 v) const {
    const F32x4 zero = splat(0), below = zero < v ? zero : v, above = zero < v ? v : zero;
    return above + (exp_below(below) - one);
  }
  F32x4 gelu_tanh(F32x4 v) const { return v / (one + exp(v * (gelu_b * (v * v) + gelu_a))); }
  F32x4 silu(F32x4 v) const { return v / (one + exp(-v)); }
};

// What 2^x and the ELU by it need (see kExp2P).
struct Exp2Constants {
  F32x4 low = held(kExp2Min), log2e = held(kLog2E), round = held(kRound), one = held(1.0f);
  F32x4 p[5] = {held(kExp2P[0]), held(kExp2P[1]), held(kExp2P[2]), held(kExp2P[3]), held(kExp2P[4])};

  F32x4 exp2(F32x4 x) const {  // x <= 0
    x = x < low ? low : x;
    const F32x4 shifted = x + round, f = x - (shifted - round);
    F32x4 sum = p[0];
    each<4>([&](auto c) { sum = sum * f + p[c + 1]; });
    return (F32x4)((U32x4)(sum * f + one) + ((U32x4)shifted << 23));
  }
  F32x4 elu(F32x4 v) const {
    const F32x4 zero = splat(0), below = v * log2e, above = zero < v ? v : zero;
    return above + (exp2(zero < below ? zero : below) - one);
  }
};

// The integer product, with its input rows as they lie or interleaved (see products_simd128.cpp).
template <bool kPacked, typename W>
void gemm_integer(const IntegerRows& a, size_t m, const W* panels, const float* w_scales, size_t n,
                  Epilogue epilogue, float* y, size_t ldy);

// gemm_i16_taps for T taps.
template <bool kPacked, size_t T>
void gemm_groups(const int16_t* values, float scale, size_t k8, size_t m, const int16_t* panels,
                 const float* w_scales, size_t n, Epilogue epilogue, int16_t* room, float* y, size_t ldy);

}  // namespace ptts::kernels::simd128

#endif

// Elementary functions in double precision whose bits are the same on every host.
//
//   exp_d log_d sin_d cos_d sincos_d     within about 1 ulp of the true value
//   bessel_i0                            for the Kaiser window
//
// The C library is not asked: its answers differ between WebAssembly, glibc and browsers. Only operations that IEEE 754
// rounds in one way are used (+ - * / sqrt, comparisons, bits), in a fixed order, and the build forbids contraction.
// (Not called math.h: in an include directory that name would hide the C library's own.)
#ifndef PTTS_MATHS_H_
#define PTTS_MATHS_H_

namespace ptts {

inline constexpr double kPi = 3.14159265358979323846;

// Largest argument that sin_d, cos_d and sincos_d reduce exactly; beyond it they answer NaN.
inline constexpr double kMaxAngle = 1.0e6;

struct SinCos {
  double sin;
  double cos;
};

double exp_d(double x);
double log_d(double x);
double sin_d(double x);
double cos_d(double x);
SinCos sincos_d(double x);

// Modified Bessel function of the first kind, order 0.
double bessel_i0(double x);

}  // namespace ptts
#endif

// The plan of a model: every tensor that its configuration calls for, by name and shape, and where it goes.
#ifndef PTTS_PLAN_H_
#define PTTS_PLAN_H_

#include <string>
#include <vector>

#include "model.h"
#include "safetensors.h"

namespace ptts {

// How a tensor's elements become weights.
enum class Layout {
  kVector,             // as they are
  kTable,              // as they are; a matrix when the precision is not f32
  kMatrix,             // [n, k]
  kConv,               // [out, in, kernel]
  kConvTranspose,      // [in, out, 2 stride]
  kConvTransposeBias,  // [out], repeated for every output row of a step
  kUpsample,           // [channels, 1, 2 stride]
};

// Names of integer weights in converted files: the tensor's name and one of these.
inline constexpr char kScaleSuffix[] = ".scale";
const char* packed_suffix(Matrix::Type type);  // ".q8", ".q12", ".q4"

struct Slot {
  std::string name;  // "flow_lm.out_norm.weight"
  Shape shape;
  uint32_t part;  // PTTS_PART_*
  Layout layout;
  Buffer<float>* vector = nullptr;
  Matrix* matrix = nullptr;
  Matrix::Type type = Matrix::Type::kF32;  // of the matrix with precision q8
  size_t stride = 1, dilation = 1;         // of a convolution

  // What of it a file had: its values, or packed integers and their scales.
  enum : uint8_t { kValues = 1, kPacked = 2, kScales = 4 };
  uint8_t seen = 0;
  bool present() const { return seen == kValues || seen == (kPacked | kScales); }

  // What its matrix is under a precision, and how large.
  Matrix::Type working(uint32_t precision) const;
  MatrixShape matrix_shape() const;
  // About what it takes then.
  size_t working_bytes(uint32_t precision) const;
  [[nodiscard]] ptts_status create(uint32_t precision, bool packed);
  // Elements [first, first + count) in the file's order.
  [[nodiscard]] ptts_status put(size_t first, const float* values, size_t count);
  void get(size_t first, float* values, size_t count) const;  // not of integer weights
  size_t bytes() const { return matrix != nullptr ? matrix->bytes() : vector->bytes(); }
};

// Lays out `model` for its configuration and lists its slots, sorted by name.  The slots point into the model.
std::vector<Slot> plan_model(Model* model);

}  // namespace ptts

#endif

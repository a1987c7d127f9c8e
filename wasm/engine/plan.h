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
  kMatrix,             // [n, k]
  kConv,               // [out, in, kernel]
  kConvTranspose,      // [in, out, 2 stride]
  kConvTransposeBias,  // [out], repeated for every output row of a step
  kUpsample,           // [channels, 1, 2 stride]
};

struct Slot {
  std::string name;  // "flow_lm.out_norm.weight"
  Shape shape;
  uint32_t part;  // PTTS_PART_*
  Layout layout;
  Buffer<float>* vector = nullptr;
  Matrix* matrix = nullptr;
  Matrix::Type type = Matrix::Type::kF32;  // of the matrix when the precision is not f32
  size_t stride = 1;                       // of a transposed convolution
  bool present = false;                    // the tensor was found in a file

  [[nodiscard]] ptts_status create(uint32_t precision);
  // Elements [first, first + count) in the file's order.
  [[nodiscard]] ptts_status put(size_t first, const float* values, size_t count);
  size_t bytes() const { return vector != nullptr ? vector->bytes() : matrix->bytes(); }
};

// Lays out `model` for its configuration and lists its slots, sorted by name.  The slots point into the model.
std::vector<Slot> plan_model(Model* model);

}  // namespace ptts

#endif

// The safetensors container: a length, a JSON header, then the tensors' bytes.
//
// Reading is strict: names once, known types, ranges that follow one another without a hole from the first byte to
// the last one.  A header is believed only when all of that holds.
#ifndef PTTS_SAFETENSORS_H_
#define PTTS_SAFETENSORS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "buffer.h"

namespace ptts {

enum class Dtype { kF32, kF16, kBf16, kI64, kI8, kU8, kOther };

size_t dtype_size(Dtype dtype);  // bytes; 0 for kOther
const char* dtype_name(Dtype dtype);
bool is_float(Dtype dtype);

using Shape = std::vector<size_t>;
std::string show_shape(const Shape& shape);  // "[3072, 1024]"
size_t shape_count(const Shape& shape);

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::kOther;
  std::string dtype_text;  // as the file spells it
  Shape shape;
  uint64_t begin = 0, end = 0;  // bytes after the header
};

inline constexpr uint64_t kMaxHeaderBytes = 16 << 20;

// Parses a header of a file with `data_bytes` behind it.  Entries come in the order of their bytes.
// `status` is the error to fail with (weights or voice), `what` names the file in messages.
[[nodiscard]] ptts_status parse_header(std::string_view json, uint64_t data_bytes, ptts_status status,
                                       const char* what, std::vector<TensorEntry>* entries);

// `count` values of a float type from `bytes` (any alignment) as f32.
void to_f32(Dtype dtype, const uint8_t* bytes, size_t count, float* out);

// A whole file in memory.
struct SafetensorsFile {
  std::vector<TensorEntry> entries;
  std::span<const uint8_t> data;

  const TensorEntry* find(std::string_view name) const;
};
[[nodiscard]] ptts_status open_safetensors(std::span<const uint8_t> file, ptts_status status,
                                           const char* what, SafetensorsFile* out);

// The length and the header of a file of these tensors, whose ranges follow one another.
std::string write_header(const std::vector<TensorEntry>& entries);

// Writes a file of F32 and I64 tensors, in the order added.
class SafetensorsWriter {
 public:
  void add_f32(std::string name, Shape shape, const float* data);
  void add_i64(std::string name, int64_t value);  // shape [1]
  // The bytes, in memory of the C heap.  The pointers given to add_f32 must still be valid.
  [[nodiscard]] ptts_status write(void** data, size_t* length) const;

 private:
  struct Item {
    std::string name;
    Shape shape;
    const float* values;
    int64_t number;
  };
  std::vector<Item> items_;
};

}  // namespace ptts

#endif

// Reads the recorded goldens for tests: JSON through yyjson, tensors of safetensors files (float32, or float64 rounded to it), whole files.
// Paths are relative to tests/golden. A golden that cannot be read fails the test that asks and comes back empty.
#ifndef PTTS_TESTS_GOLDEN_H_
#define PTTS_TESTS_GOLDEN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "yyjson.h"

namespace ptts::golden {

std::vector<uint8_t> read_file(std::string_view path);

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

std::map<std::string, Tensor> read_tensors(std::string_view path);

// A JSON document that lives as long as this object.
struct DocumentDeleter {
  void operator()(yyjson_doc* document) const { yyjson_doc_free(document); }
};
using Document = std::unique_ptr<yyjson_doc, DocumentDeleter>;
Document read_json(std::string_view path);

std::vector<float> floats(yyjson_val* array);

// The largest |a - b|; infinity when the sizes differ or a difference is not a number.
double largest_difference(const float* a, size_t a_size, const std::vector<float>& b);

}  // namespace ptts::golden
#endif

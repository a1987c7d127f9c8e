// See golden.h. The files are our own, so the reader checks only what would make it crash.
#include "golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

namespace ptts::golden {

std::vector<uint8_t> read_file(std::string_view path) {
  const std::string full = std::string(PTTS_TESTS_DIR "/golden/") + std::string(path);
  std::vector<uint8_t> bytes;
  std::FILE* file = std::fopen(full.c_str(), "rb");
  if (file == nullptr) {
    ADD_FAILURE() << "cannot open " << full;
    return bytes;
  }
  uint8_t block[65536];
  while (const size_t n = std::fread(block, 1, sizeof block, file))
    bytes.insert(bytes.end(), block, block + n);
  std::fclose(file);
  return bytes;
}

Document read_json(std::string_view path) {
  const std::vector<uint8_t> bytes = read_file(path);
  Document document(yyjson_read(reinterpret_cast<const char*>(bytes.data()), bytes.size(), 0));
  if (!document) ADD_FAILURE() << path << " is not JSON";
  return document;
}

std::map<std::string, Tensor> read_tensors(std::string_view path) {
  std::map<std::string, Tensor> tensors;
  const std::vector<uint8_t> bytes = read_file(path);
  uint64_t header_size = 0;
  if (bytes.size() >= 8) std::memcpy(&header_size, bytes.data(), 8);
  if (bytes.size() < 8 || header_size > bytes.size() - 8) {
    ADD_FAILURE() << path << " is not a safetensors file";
    return tensors;
  }
  const Document document(yyjson_read(reinterpret_cast<const char*>(bytes.data()) + 8, header_size, 0));
  const size_t base = 8 + header_size;
  size_t index = 0;
  size_t count = 0;
  yyjson_val* name = nullptr;
  yyjson_val* entry = nullptr;
  yyjson_obj_foreach(yyjson_doc_get_root(document.get()), index, count, name, entry) {
    const bool wide = yyjson_equals_str(yyjson_obj_get(entry, "dtype"), "F64");
    if (!wide && !yyjson_equals_str(yyjson_obj_get(entry, "dtype"), "F32")) continue;
    const size_t item = wide ? 8 : 4;
    yyjson_val* offsets = yyjson_obj_get(entry, "data_offsets");
    const size_t begin = yyjson_get_uint(yyjson_arr_get(offsets, 0));
    const size_t end = yyjson_get_uint(yyjson_arr_get(offsets, 1));
    if (begin > end || end > bytes.size() - base || (end - begin) % item != 0) {
      ADD_FAILURE() << path << ": " << yyjson_get_str(name) << " lies outside of the file";
      continue;
    }
    Tensor tensor;
    size_t axis = 0;
    size_t axes = 0;
    yyjson_val* extent = nullptr;
    yyjson_arr_foreach(yyjson_obj_get(entry, "shape"), axis, axes, extent) {
      tensor.shape.push_back(yyjson_get_sint(extent));
    }
    tensor.values.resize((end - begin) / item);
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      const uint8_t* source = bytes.data() + base + begin + i * item;
      double value = 0.0;
      if (wide) {
        std::memcpy(&value, source, 8);
        tensor.values[i] = static_cast<float>(value);
      } else {
        std::memcpy(&tensor.values[i], source, 4);
      }
    }
    tensors.emplace(yyjson_get_str(name), std::move(tensor));
  }
  return tensors;
}

std::vector<float> floats(yyjson_val* array) {
  std::vector<float> values;
  size_t index = 0;
  size_t count = 0;
  yyjson_val* value = nullptr;
  yyjson_arr_foreach(array, index, count, value) {
    values.push_back(static_cast<float>(yyjson_get_num(value)));
  }
  return values;
}

double largest_difference(const float* a, size_t a_size, const std::vector<float>& b) {
  if (a_size != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (size_t i = 0; i < a_size; ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = std::isnan(difference) ? HUGE_VAL : difference;
  }
  return largest;
}

}  // namespace ptts::golden

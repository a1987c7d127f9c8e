// Reading and writing safetensors.
#include "safetensors.h"

#include <algorithm>
#include <bit>

#include "half.h"
#include "json.h"

namespace ptts {

namespace {

struct DtypeRow {
  const char* name;
  Dtype dtype;
  size_t size;
};
constexpr DtypeRow kDtypes[] = {
    {"F32", Dtype::kF32, 4},    {"F16", Dtype::kF16, 2},       {"BF16", Dtype::kBf16, 2},
    {"I64", Dtype::kI64, 8},    {"F64", Dtype::kOther, 8},     {"U64", Dtype::kOther, 8},
    {"I32", Dtype::kOther, 4},  {"U32", Dtype::kOther, 4},     {"I16", Dtype::kOther, 2},
    {"U16", Dtype::kOther, 2},  {"I8", Dtype::kI8, 1},         {"U8", Dtype::kU8, 1},
    {"BOOL", Dtype::kOther, 1}, {"F8_E4M3", Dtype::kOther, 1}, {"F8_E5M2", Dtype::kOther, 1},
};

// Reads one entry; `bytes_per_value` comes from the type's name.
ptts_status parse_entry(yyjson_val* key, yyjson_val* value, ptts_status status, const char* what,
                        TensorEntry* entry) {
  entry->name.assign(yyjson_get_str(key), yyjson_get_len(key));
  const char* name = entry->name.c_str();
  yyjson_val* dtype = yyjson_obj_get(value, "dtype");
  yyjson_val* shape = yyjson_obj_get(value, "shape");
  yyjson_val* offsets = yyjson_obj_get(value, "data_offsets");
  if (!yyjson_is_str(dtype) || !yyjson_is_arr(shape) || !yyjson_is_arr(offsets) ||
      yyjson_arr_size(offsets) != 2 || !yyjson_is_uint(yyjson_arr_get(offsets, 0)) ||
      !yyjson_is_uint(yyjson_arr_get(offsets, 1))) {
    return fail(status, "%s: %.200s: expected an object with dtype, shape and two data_offsets", what, name);
  }
  entry->dtype_text = yyjson_get_str(dtype);
  const DtypeRow* row = nullptr;
  for (const DtypeRow& candidate : kDtypes) {
    if (entry->dtype_text == candidate.name) row = &candidate;
  }
  if (row == nullptr) {
    return fail(status, "%s: %.200s: unknown dtype \"%.40s\"", what, name, entry->dtype_text.c_str());
  }
  entry->dtype = row->dtype;
  if (yyjson_arr_size(shape) > 8) return fail(status, "%s: %.200s: more than 8 dimensions", what, name);
  uint64_t count = 1;
  size_t index = 0, size = 0;
  yyjson_val* dimension = nullptr;
  yyjson_arr_foreach(shape, index, size, dimension) {
    const uint64_t extent = yyjson_get_uint(dimension);
    if (!yyjson_is_uint(dimension) || extent > uint64_t{1} << 40 ||
        (extent != 0 && count > (uint64_t{1} << 40) / extent)) {
      return fail(status, "%s: %.200s: a shape that is not one", what, name);
    }
    count *= extent;
    entry->shape.push_back(static_cast<size_t>(extent));
  }
  entry->begin = yyjson_get_uint(yyjson_arr_get(offsets, 0));
  entry->end = yyjson_get_uint(yyjson_arr_get(offsets, 1));
  if (entry->end < entry->begin || entry->end - entry->begin != count * row->size) {
    return fail(status, "%s: %.200s: %s of dtype %s takes %llu bytes, data_offsets are [%llu, %llu]", what,
                name, show_shape(entry->shape).c_str(), row->name,
                static_cast<unsigned long long>(count * row->size),
                static_cast<unsigned long long>(entry->begin), static_cast<unsigned long long>(entry->end));
  }
  return PTTS_OK;
}

}  // namespace

size_t dtype_size(Dtype dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (row.dtype == dtype && dtype != Dtype::kOther) return row.size;
  }
  return 0;
}

const char* dtype_name(Dtype dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (row.dtype == dtype && dtype != Dtype::kOther) return row.name;
  }
  return "another type";
}

std::string show_shape(const Shape& shape) {
  std::string text = "[";
  for (size_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

size_t shape_count(const Shape& shape) {
  size_t count = 1;
  for (size_t extent : shape) count *= extent;
  return count;
}

ptts_status parse_header(std::string_view json, uint64_t data_bytes, ptts_status status, const char* what,
                         std::vector<TensorEntry>* entries) {
  yyjson_read_err error;
  std::string copy(json);
  const JsonDocument document(
      yyjson_read_opts(copy.data(), copy.size(), YYJSON_READ_NOFLAG, nullptr, &error));
  yyjson_val* root = yyjson_doc_get_root(document.get());
  if (!yyjson_is_obj(root)) {
    return fail(status, "%s: the header is not a JSON object%s%s", what, document == nullptr ? ": " : "",
                document == nullptr ? error.msg : "");
  }
  entries->clear();
  entries->reserve(yyjson_obj_size(root));
  size_t index = 0, count = 0;
  yyjson_val *key = nullptr, *value = nullptr;
  yyjson_obj_foreach(root, index, count, key, value) {
    if (yyjson_equals_str(key, "__metadata__")) continue;
    PTTS_TRY(parse_entry(key, value, status, what, &entries->emplace_back()));
  }
  std::vector<const std::string*> names;
  for (const TensorEntry& entry : *entries) names.push_back(&entry.name);
  std::sort(names.begin(), names.end(), [](auto* a, auto* b) { return *a < *b; });
  for (size_t i = 1; i < names.size(); ++i) {
    if (*names[i] == *names[i - 1]) return fail(status, "%s: %.200s: stands twice", what, names[i]->c_str());
  }
  std::sort(entries->begin(), entries->end(), [](const TensorEntry& a, const TensorEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t position = 0;
  for (const TensorEntry& entry : *entries) {
    if (entry.begin != position) {
      return fail(status, "%s: %.200s: expected to begin at byte %llu, data_offsets are [%llu, %llu]", what,
                  entry.name.c_str(), static_cast<unsigned long long>(position),
                  static_cast<unsigned long long>(entry.begin), static_cast<unsigned long long>(entry.end));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return fail(status, "%s: the header describes %llu bytes of tensors, the file has %llu", what,
                static_cast<unsigned long long>(position), static_cast<unsigned long long>(data_bytes));
  }
  return PTTS_OK;
}

void to_f32(Dtype dtype, const uint8_t* bytes, size_t count, float* out) {
  if (dtype == Dtype::kF32) {
    std::memcpy(out, bytes, count * 4);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint16_t half = static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
    out[i] =
        dtype == Dtype::kF16 ? half_to_f32(half) : std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
  }
}

bool is_float(Dtype dtype) { return dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBf16; }

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  for (const TensorEntry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

ptts_status open_safetensors(std::span<const uint8_t> file, ptts_status status, const char* what,
                             SafetensorsFile* out) {
  if (file.size() < 8) {
    return fail(status, "%s: expected a safetensors file, found %zu bytes", what, file.size());
  }
  uint64_t header = 0;
  for (size_t i = 8; i-- > 0;) header = header << 8 | file[i];
  if (header > kMaxHeaderBytes || header > file.size() - 8) {
    return fail(status, "%s: expected a safetensors header of at most %zu bytes, its length field says %llu",
                what, file.size() - 8, static_cast<unsigned long long>(header));
  }
  const std::string_view json(reinterpret_cast<const char*>(file.data()) + 8, static_cast<size_t>(header));
  out->data = file.subspan(8 + static_cast<size_t>(header));
  return parse_header(json, out->data.size(), status, what, &out->entries);
}

void SafetensorsWriter::add_f32(std::string name, Shape shape, const float* data) {
  items_.push_back({std::move(name), std::move(shape), data, 0});
}

void SafetensorsWriter::add_i64(std::string name, int64_t value) {
  items_.push_back({std::move(name), {1}, nullptr, value});
}

std::string write_header(const std::vector<TensorEntry>& entries) {
  std::string json = "{";
  for (const TensorEntry& e : entries) {
    json += (json.size() > 1 ? ",\"" : "\"") + e.name + "\":{\"dtype\":\"" + dtype_name(e.dtype) +
            "\",\"shape\":" + show_shape(e.shape) + ",\"data_offsets\":[" + std::to_string(e.begin) + "," +
            std::to_string(e.end) + "]}";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string header;
  for (size_t i = 0; i < 8; ++i) header += static_cast<char>(static_cast<uint64_t>(json.size()) >> 8 * i);
  return header + json;
}

ptts_status SafetensorsWriter::write(void** data, size_t* length) const {
  std::vector<TensorEntry> entries;
  size_t position = 0;
  for (const Item& item : items_) {
    TensorEntry& entry = entries.emplace_back();
    entry.name = item.name;
    entry.dtype = item.values != nullptr ? Dtype::kF32 : Dtype::kI64;
    entry.shape = item.shape;
    entry.begin = position;
    position += shape_count(item.shape) * dtype_size(entry.dtype);
    entry.end = position;
  }
  const std::string header = write_header(entries);
  const size_t total = header.size() + position;
  uint8_t* out = static_cast<uint8_t*>(std::malloc(total));
  if (out == nullptr)
    return fail(PTTS_ERROR_MEMORY, "a safetensors file of %zu bytes could not be held", total);
  std::memcpy(out, header.data(), header.size());
  uint8_t* next = out + header.size();
  for (const Item& item : items_) {
    const size_t bytes = item.values != nullptr ? shape_count(item.shape) * 4 : 8;
    if (bytes > 0)
      std::memcpy(next, item.values != nullptr ? static_cast<const void*>(item.values) : &item.number, bytes);
    next += bytes;
  }
  *data = out;
  *length = total;
  return PTTS_OK;
}

}  // namespace ptts

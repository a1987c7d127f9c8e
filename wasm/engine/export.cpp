// Writing a model's weights.
#include "export.h"

#include <algorithm>
#include <bit>

#include "half.h"

namespace ptts {

namespace {

constexpr size_t kPiece = 4096;  // values at a time

bool fits_bf16(float v) { return (std::bit_cast<uint32_t>(v) & 0xffff) == 0; }
bool fits_f16(float v) {
  return std::bit_cast<uint32_t>(half_to_f32(f32_to_half(v))) == std::bit_cast<uint32_t>(v);
}

// The smallest type that holds all values exactly.
Dtype smallest(const Slot& slot) {
  const size_t count = shape_count(slot.shape);
  bool f16 = true, bf16 = true;
  std::vector<float> values(std::min(count, kPiece));
  for (size_t first = 0; first < count && (f16 || bf16); first += kPiece) {
    const size_t here = std::min(kPiece, count - first);
    slot.get(first, values.data(), here);
    f16 = f16 && std::all_of(values.begin(), values.begin() + static_cast<long>(here), fits_f16);
    bf16 = bf16 && std::all_of(values.begin(), values.begin() + static_cast<long>(here), fits_bf16);
  }
  return bf16 ? Dtype::kBf16 : f16 ? Dtype::kF16 : Dtype::kF32;
}

}  // namespace

void Export::add(const Slot& slot, Kind kind, const char* suffix, Dtype dtype, Shape shape) {
  TensorEntry& entry = entries_.emplace_back();
  entry.name = slot.name + suffix;
  entry.dtype = dtype;
  entry.begin = total_;
  total_ += shape_count(shape) * dtype_size(dtype);
  entry.end = total_;
  entry.shape = std::move(shape);
  items_.push_back({&slot, kind});
}

ptts_status Export::open(std::shared_ptr<const Model> model, uint32_t parts) {
  if (parts == 0 || (parts & ~uint32_t{PTTS_PART_ALL}) != 0 || !model->has(parts)) {
    return fail(PTTS_ERROR_ARGUMENT, "parts: expected some of those that are loaded (%u), found %u",
                model->parts, parts);
  }
  model_ = std::move(model);
  for (const Slot& slot : *model_->slots) {
    if ((slot.part & parts) == 0) continue;
    if (slot.matrix == nullptr || !slot.matrix->integer()) {
      add(slot, Kind::kValues, "", smallest(slot), slot.shape);
      continue;
    }
    const Matrix& m = *slot.matrix;
    add(slot, Kind::kPacked, packed_suffix(m.type()),
        m.type() == Matrix::Type::kInt8 ? Dtype::kI8 : Dtype::kU8, {m.n(), m.packed_row_bytes()});
    const bool blocks = m.type() == Matrix::Type::kInt4;
    add(slot, Kind::kScales, kScaleSuffix, blocks ? Dtype::kF16 : Dtype::kF32,
        blocks ? Shape{m.n(), m.blocks()} : Shape{m.n()});
  }
  const std::string header = write_header(entries_);
  piece_.assign(header.begin(), header.end());
  total_ += header.size();
  return PTTS_OK;
}

void Export::fill() {
  piece_.clear();
  taken_ = 0;
  while (piece_.empty() && item_ < items_.size()) {
    const Slot& slot = *items_[item_].slot;
    const Dtype dtype = entries_[item_].dtype;
    const auto append = [&](float value) {
      const uint32_t bits = dtype == Dtype::kF32    ? std::bit_cast<uint32_t>(value)
                            : dtype == Dtype::kBf16 ? std::bit_cast<uint32_t>(value) >> 16
                                                    : f32_to_half(value);
      for (size_t i = 0; i < dtype_size(dtype); ++i) piece_.push_back(static_cast<uint8_t>(bits >> 8 * i));
    };
    size_t count = 0;
    switch (items_[item_].kind) {
      case Kind::kValues: {
        count = shape_count(slot.shape);
        std::vector<float> values(std::min(kPiece, count - next_));
        slot.get(next_, values.data(), values.size());
        for (float v : values) append(v);
        next_ += values.size();
        break;
      }
      case Kind::kPacked:
        count = slot.matrix->n();
        if (next_ < count) {
          piece_.resize(slot.matrix->packed_row_bytes());
          slot.matrix->packed_row(next_++, piece_.data());
        }
        break;
      case Kind::kScales:
        count = slot.matrix->scale_count();
        for (const size_t end = std::min(count, next_ + kPiece); next_ < end; ++next_)
          append(slot.matrix->scale(next_));
        break;
    }
    if (next_ < count) continue;
    ++item_;
    next_ = 0;
  }
}

size_t Export::read(uint8_t* out, size_t capacity) {
  size_t written = 0;
  while (written < capacity) {
    if (taken_ == piece_.size()) fill();
    if (piece_.empty()) break;
    const size_t here = std::min(capacity - written, piece_.size() - taken_);
    std::copy_n(piece_.data() + taken_, here, out + written);
    taken_ += here;
    written += here;
  }
  return written;
}

}  // namespace ptts

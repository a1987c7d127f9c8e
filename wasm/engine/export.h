// A loaded model's weights as a safetensors file, in slices: what was f32 under the reference's names (as F16 or BF16 where that
// loses nothing), integer weights packed beside their scales (models/FORMAT.md).  Loading the file gives the same bits.
#ifndef PTTS_EXPORT_H_
#define PTTS_EXPORT_H_

#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "plan.h"

namespace ptts {

class Export {
 public:
  // The tensors of `parts`.
  [[nodiscard]] ptts_status open(std::shared_ptr<const Model> model, uint32_t parts);
  uint64_t total_bytes() const { return total_; }
  // The next bytes of the file, at most `capacity`; 0 at its end.
  size_t read(uint8_t* out, size_t capacity);

 private:
  enum class Kind { kValues, kPacked, kScales };
  struct Item {
    const Slot* slot;
    Kind kind;
  };
  void add(const Slot& slot, Kind kind, const char* suffix, Dtype dtype, Shape shape);
  void fill();  // the next piece of the current tensor

  std::shared_ptr<const Model> model_;
  std::vector<Item> items_;
  std::vector<TensorEntry> entries_;
  std::vector<uint8_t> piece_;  // bytes that wait to be read: first the header
  size_t taken_ = 0;
  size_t item_ = 0, next_ = 0;  // the tensor, and its next value (or row) to put into a piece
  uint64_t total_ = 0;
};

}  // namespace ptts

#endif

// A model while it is loading: bytes of weights files come in, in order and in slices of any size, and go straight
// into their places in the working type.  No second copy of a file exists.
#ifndef PTTS_PACK_H_
#define PTTS_PACK_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "plan.h"
#include "safetensors.h"

namespace ptts {

class Pack {
 public:
  [[nodiscard]] ptts_status open(std::string_view config_json, uint32_t parts, uint32_t precision);
  [[nodiscard]] ptts_status tokenizer(uint32_t kind, std::span<const uint8_t> file);
  [[nodiscard]] ptts_status file(uint32_t kind, uint64_t total_bytes);
  [[nodiscard]] ptts_status feed(std::span<const uint8_t> bytes);
  [[nodiscard]] ptts_status close(std::unique_ptr<Model>* model);

 private:
  // A weight stored as direction and length (weight_v, weight_g), put together when its file is complete.
  struct WeightNorm {
    Slot* slot = nullptr;
    Buffer<float> v, g;
    size_t v_filled = 0, g_filled = 0;
  };
  // What a tensor of the file is for.
  struct Target {
    Slot* slot = nullptr;           // null: passed over
    Buffer<float>* norm = nullptr;  // half of a WeightNorm
    size_t* norm_filled = nullptr;
    uint8_t what = Slot::kValues;
  };

  const char* file_name() const;
  Slot* find(const std::string& name);
  [[nodiscard]] ptts_status read_header();
  [[nodiscard]] ptts_status resolve(const TensorEntry& entry, Target* target);
  [[nodiscard]] ptts_status match_packed(const TensorEntry& entry, const std::string& name, Target* target,
                                         bool* found);
  [[nodiscard]] ptts_status match(const TensorEntry& entry, Slot* slot, Target* target);
  [[nodiscard]] ptts_status begin_tensor();
  [[nodiscard]] ptts_status take_tensor_bytes(std::span<const uint8_t>* bytes);
  [[nodiscard]] ptts_status take_values(const float* values, size_t count);
  [[nodiscard]] ptts_status finish_file();
  [[nodiscard]] ptts_status finish_weight_norms();

  std::unique_ptr<Model> model_;
  std::shared_ptr<std::vector<Slot>> plan_;  // the model's tensors
  uint32_t files_seen_ = 0;                  // bits of PTTS_FILE_*
  ptts_status broken_ = PTTS_OK;

  // The file that is coming in.
  bool in_file_ = false, header_done_ = false, mimi_prefixed_ = false;
  uint32_t kind_ = 0;
  uint64_t total_ = 0, received_ = 0;
  std::string header_;
  uint64_t header_length_ = 0;
  std::vector<TensorEntry> entries_;
  std::map<std::string, WeightNorm> weight_norms_;

  // The tensor that is coming in.
  size_t entry_ = 0;
  Target target_;
  uint64_t element_ = 0;  // next one
  uint8_t carry_[8] = {};
  size_t carried_ = 0;
  bool encoder_nonzero_ = false;
};

}  // namespace ptts

#endif

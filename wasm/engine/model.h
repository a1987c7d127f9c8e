// A loaded model: configuration, tokenizer and the weights of the parts that were asked for.
#ifndef PTTS_MODEL_H_
#define PTTS_MODEL_H_

#include <memory>
#include <vector>

#include "config.h"
#include "flow_lm.h"
#include "mimi.h"
#include "tokenizer.h"

namespace ptts {

struct Slot;

struct Model {
  Config config;
  uint32_t parts = 0, precision = PTTS_PRECISION_F32;
  std::unique_ptr<Tokenizer> tokenizer;
  FlowLm flow_lm;
  MimiDecoder decoder;
  MimiEncoder encoder;
  size_t weight_bytes = 0;
  std::shared_ptr<const std::vector<Slot>> slots;  // its tensors by name (plan.h)

  bool has(uint32_t part) const { return (parts & part) == part; }
  bool can_clone() const { return has(PTTS_PART_MIMI_ENCODER | PTTS_PART_FLOW_LM) && !encoder.silent; }
};

}  // namespace ptts

#endif

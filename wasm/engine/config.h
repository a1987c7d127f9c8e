// The model's configuration: the reference's YAML fields, given as JSON.  Every field is checked here; after
// parse_config() succeeds all shapes are possible and within limits.
#ifndef PTTS_CONFIG_H_
#define PTTS_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "status.h"
#include "text.h"

namespace ptts {

enum class FlowType { kLsd, kFlowMatching, kDrifting, kPointwise };

struct TransformerConfig {
  size_t d_model = 0, heads = 0, kv_heads = 0, attn_dim = 0, feed_forward = 0, layers = 0;
  size_t context = 0;  // positions a query sees, itself included; 0: all
  double max_period = 10000;
  bool layer_scale = false;
  // Mimi's are wrapped in projections where the widths differ.
  size_t input_dim = 0, output_dim = 0;

  size_t head_dim() const { return attn_dim / heads; }
  size_t kv_dim() const { return head_dim() * kv_heads; }
};

struct SeanetConfig {
  size_t dimension = 0, filters = 0, residual_layers = 0;
  std::vector<size_t> ratios;  // as the decoder applies them
  size_t kernel = 0, residual_kernel = 0, last_kernel = 0, dilation_base = 0, compress = 0;
  bool replicate = false;  // pad_mode

  size_t hop() const {
    size_t product = 1;
    for (size_t r : ratios) product *= r;
    return product;
  }
};

struct Config {
  TextRules text;
  float default_temperature = 0.3f, default_eos_threshold = -4.0f;

  // flow_lm
  bool bos_before_voice = false;
  FlowType flow_type = FlowType::kLsd;
  size_t flow_dim = 0, flow_depth = 0;
  TransformerConfig backbone;
  size_t z_dim = 0;  // 0: none
  size_t n_bins = 0, rank = 0;

  // mimi
  size_t sample_rate = 0, samples_per_frame = 0;
  size_t latent = 0;  // quantizer.dimension
  size_t inner_dim = 0, outer_dim = 0;
  SeanetConfig encoder, decoder;
  TransformerConfig encoder_transformer, decoder_transformer;

  size_t hidden() const { return z_dim > 0 ? z_dim : backbone.d_model; }
  size_t time_inputs() const {
    return flow_type == FlowType::kLsd ? 2 : flow_type == FlowType::kFlowMatching ? 1 : 0;
  }
  // Codec steps per latent frame.
  size_t upsampling() const { return samples_per_frame / decoder.hop(); }
};

[[nodiscard]] ptts_status parse_config(std::string_view json, Config* config);

}  // namespace ptts

#endif

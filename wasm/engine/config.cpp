// Reads the configuration.  Unknown keys are refused, as in the reference: a misspelt field must not pass silently.
#include "config.h"

#include <cmath>
#include <cstdio>

#include "json.h"

namespace ptts {

namespace {

// A whole number within bounds, however it is spelled (6, 6.0).
bool read_whole(yyjson_val* value, size_t low, size_t high, size_t* out) {
  if (!yyjson_is_num(value)) return false;
  const double number = yyjson_get_num(value);
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high))) return false;
  *out = static_cast<size_t>(number);
  return static_cast<double>(*out) == number;
}

// One JSON object that must be read completely.  The first error is kept and later calls do nothing.
class Object {
 public:
  Object(yyjson_val* value, std::string path, ptts_status* status)
      : value_(value), path_(std::move(path)), status_(status) {
    if (*status_ == PTTS_OK && !yyjson_is_obj(value_)) {
      *status_ = fail(PTTS_ERROR_CONFIG, "config %s: expected an object, found %s", path_.c_str(),
                      value_ == nullptr ? "nothing" : yyjson_get_type_desc(value_));
    }
  }

  // The value of a key, or null when it is absent or null; notes that the key is known.
  yyjson_val* get(const char* key) {
    known_.push_back(key);
    if (*status_ != PTTS_OK) return nullptr;
    yyjson_val* value = yyjson_obj_get(value_, key);
    return yyjson_is_null(value) ? nullptr : value;
  }

  Object object(const char* key) { return Object(get(key), name(key), status_); }
  bool has(const char* key) { return get(key) != nullptr; }

  size_t integer(const char* key, size_t low, size_t high) {
    yyjson_val* value = get(key);
    if (*status_ != PTTS_OK) return low;
    size_t number = low;
    if (!read_whole(value, low, high, &number)) {
      *status_ = fail(PTTS_ERROR_CONFIG, "config %s: expected a whole number from %zu to %zu, found %s",
                      name(key).c_str(), low, high, show(value).c_str());
    }
    return number;
  }
  size_t integer_or(const char* key, size_t low, size_t high, size_t otherwise) {
    return has(key) ? integer(key, low, high) : otherwise;
  }

  double number_or(const char* key, double low, double high, double otherwise) {
    yyjson_val* value = get(key);
    if (value == nullptr) return otherwise;
    const double number = yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
    if (!(number >= low && number <= high)) {
      *status_ = fail(PTTS_ERROR_CONFIG, "config %s: expected a number from %g to %g, found %s",
                      name(key).c_str(), low, high, show(value).c_str());
      return otherwise;
    }
    return number;
  }

  bool flag_or(const char* key, bool otherwise) {
    yyjson_val* value = get(key);
    if (value == nullptr) return otherwise;
    if (!yyjson_is_bool(value)) {
      *status_ = fail(PTTS_ERROR_CONFIG, "config %s: expected true or false, found %s", name(key).c_str(),
                      show(value).c_str());
    }
    return yyjson_get_bool(value);
  }

  std::string text_or(const char* key, const char* otherwise) {
    yyjson_val* value = get(key);
    if (value == nullptr) return otherwise;
    if (!yyjson_is_str(value)) {
      *status_ = fail(PTTS_ERROR_CONFIG, "config %s: expected a string, found %s", name(key).c_str(),
                      show(value).c_str());
      return otherwise;
    }
    return std::string(yyjson_get_str(value), yyjson_get_len(value));
  }

  void finish() {
    if (*status_ != PTTS_OK) return;
    size_t index = 0, count = 0;
    yyjson_val *key = nullptr, *value = nullptr;
    yyjson_obj_foreach(value_, index, count, key, value) {
      bool known = false;
      for (const char* name : known_) known = known || yyjson_equals_str(key, name);
      if (!known) {
        *status_ = fail(PTTS_ERROR_CONFIG, "config %.200s: unknown key", name(yyjson_get_str(key)).c_str());
        return;
      }
    }
  }

  std::string name(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

  static std::string show(yyjson_val* value) {
    if (value == nullptr) return "nothing";
    if (yyjson_is_str(value)) return "\"" + std::string(yyjson_get_str(value)).substr(0, 60) + "\"";
    if (yyjson_is_num(value)) {
      char buffer[40];
      std::snprintf(buffer, sizeof(buffer), "%.10g", yyjson_get_num(value));
      return buffer;
    }
    return yyjson_get_type_desc(value);
  }

 private:
  yyjson_val* value_;
  std::string path_;
  ptts_status* status_;
  std::vector<const char*> known_;
};

// Limits that keep every size product far from overflow; shipped models stay below a tenth of them.
constexpr size_t kMaxWidth = 16384, kMaxLayers = 256, kMaxReach = 16384, kMaxHop = 24000;
constexpr size_t kMaxHops =
    1024;  // of a frame, whose rows the codec's transformer takes four frames of at a time

void check_dtype(Object& object) {
  object.text_or("dtype", "float32");  // the working type is the engine's choice
}

void check_heads(const TransformerConfig& t, const std::string& path, ptts_status* status) {
  if (*status != PTTS_OK) return;
  if (t.attn_dim % t.heads != 0 || t.heads % t.kv_heads != 0 || t.head_dim() % 2 != 0) {
    *status =
        fail(PTTS_ERROR_CONFIG,
             "config %s: %zu attention channels, %zu heads and %zu key/value heads do not fit (heads must "
             "divide the channels into an even width, key/value heads must divide the heads)",
             path.c_str(), t.attn_dim, t.heads, t.kv_heads);
  }
}

TransformerConfig read_backbone(Object o, ptts_status* status) {
  TransformerConfig t;
  t.d_model = o.integer("d_model", 1, kMaxWidth);
  t.heads = o.integer("num_heads", 1, 1024);
  t.layers = o.integer("num_layers", 1, kMaxLayers);
  const size_t scale = o.integer("hidden_scale", 1, 64);
  t.max_period = static_cast<double>(o.integer("max_period", 1, 1000000000));
  t.attn_dim = o.integer_or("attn_dim", 1, kMaxWidth, t.d_model);
  t.kv_heads = o.integer_or("num_kv_heads", 1, 1024, t.heads);
  t.feed_forward = o.integer_or("dim_feedforward", 1, 4 * kMaxWidth, t.d_model * scale);
  o.finish();
  check_heads(t, o.name("transformer"), status);
  return t;
}

TransformerConfig read_codec_transformer(Object o, const std::string& path, ptts_status* status) {
  TransformerConfig t;
  t.d_model = o.integer("d_model", 1, kMaxWidth);
  t.attn_dim = t.d_model;
  t.input_dim = o.integer("input_dimension", 1, kMaxWidth);
  t.heads = o.integer("num_heads", 1, 1024);
  t.kv_heads = t.heads;
  t.layers = o.integer("num_layers", 1, kMaxLayers);
  t.context = o.integer("context", 1, 100000);
  t.feed_forward = o.integer("dim_feedforward", 1, 4 * kMaxWidth);
  t.max_period = o.number_or("max_period", 1, 1e9, 10000);
  o.number_or("layer_scale", 0, 1e6, 0.01);  // the initial value; the weights hold the scales
  t.layer_scale = true;
  yyjson_val* outputs = o.get("output_dimensions");
  if (*status == PTTS_OK && (!yyjson_is_arr(outputs) || yyjson_arr_size(outputs) != 1 ||
                             !read_whole(yyjson_arr_get_first(outputs), 1, kMaxWidth, &t.output_dim))) {
    *status =
        fail(PTTS_ERROR_CONFIG, "config %s.output_dimensions: expected a list of one width", path.c_str());
  }
  o.finish();
  check_heads(t, path, status);
  return t;
}

SeanetConfig read_seanet(Object o, const std::string& path, ptts_status* status) {
  SeanetConfig s;
  s.dimension = o.integer("dimension", 1, kMaxWidth);
  o.integer("channels", 1, 1);
  s.filters = o.integer("n_filters", 1, 1024);
  s.residual_layers = o.integer("n_residual_layers", 0, 8);
  s.kernel = o.integer("kernel_size", 1, 64);
  s.residual_kernel = o.integer("residual_kernel_size", 1, 64);
  s.last_kernel = o.integer("last_kernel_size", 1, 64);
  s.dilation_base = o.integer("dilation_base", 1, 8);
  s.compress = o.integer("compress", 1, 64);
  const std::string pad_mode = o.text_or("pad_mode", "");
  s.replicate = pad_mode == "replicate";
  if (*status == PTTS_OK && pad_mode != "constant" && pad_mode != "replicate") {
    *status =
        fail(PTTS_ERROR_CONFIG, "config %s.pad_mode: expected \"constant\" or \"replicate\", found \"%.40s\"",
             path.c_str(), pad_mode.c_str());
  }
  yyjson_val* ratios = o.get("ratios");
  const size_t count = yyjson_is_arr(ratios) ? yyjson_arr_size(ratios) : 0;
  if (*status == PTTS_OK && (count < 1 || count > 8)) {
    *status = fail(PTTS_ERROR_CONFIG, "config %s.ratios: expected a list of 1 to 8 numbers", path.c_str());
  }
  for (size_t i = 0; i < count && *status == PTTS_OK; ++i) {
    yyjson_val* ratio = yyjson_arr_get(ratios, i);
    if (!read_whole(ratio, 1, 64, &s.ratios.emplace_back())) {
      *status = fail(PTTS_ERROR_CONFIG, "config %s.ratios: expected whole numbers from 1 to 64, found %s",
                     path.c_str(), Object::show(ratio).c_str());
    }
  }
  size_t hop = 1;
  for (size_t i = 0; i < s.ratios.size() && *status == PTTS_OK; ++i) {
    hop *= s.ratios[i];
    if (hop > kMaxHop) {
      *status = fail(PTTS_ERROR_CONFIG, "config %s.ratios: their product is more than %zu samples",
                     path.c_str(), kMaxHop);
    }
  }
  o.finish();
  size_t reach = s.residual_kernel - 1;  // rows before a row that the last residual block of a stage sees
  for (size_t i = 1; i < s.residual_layers; ++i) reach *= s.dilation_base;
  if (*status == PTTS_OK && reach > kMaxReach) {
    *status =
        fail(PTTS_ERROR_CONFIG,
             "config %s: %zu residual layers of %zu taps whose dilation grows %zu-fold reach back %zu rows, "
             "more than %zu",
             path.c_str(), s.residual_layers, s.residual_kernel, s.dilation_base, reach, kMaxReach);
  }
  // Fewer filters than the compression leave residual blocks without an inner channel; the reference takes them.
  if (*status == PTTS_OK && (s.filters << count) > kMaxWidth) {
    *status = fail(PTTS_ERROR_CONFIG, "config %s: %zu filters doubled %zu times are more than %zu channels",
                   path.c_str(), s.filters, count, kMaxWidth);
  }
  return s;
}

void read_text(Object& root, Config* config, ptts_status* status) {
  TextRules& rules = config->text;
  rules.pad_with_spaces_for_short_inputs = root.flag_or("pad_with_spaces_for_short_inputs", false);
  rules.remove_semicolons = root.flag_or("remove_semicolons", false);
  rules.append_terminal_punctuation = root.flag_or("append_terminal_punctuation", true);
  rules.capitalize_first_letter = root.flag_or("capitalize_first_letter", true);
  rules.recommended_frames_after_eos = -1;
  if (root.has("model_recommended_frames_after_eos")) {
    rules.recommended_frames_after_eos =
        static_cast<int>(root.integer("model_recommended_frames_after_eos", 0, 1000));
  }
  if (!root.has("replace_characters")) return;
  yyjson_val* map = root.get("replace_characters");
  if (!yyjson_is_obj(map) || yyjson_obj_size(map) > 10000) {
    *status = fail(PTTS_ERROR_CONFIG, "config replace_characters: expected an object of strings, found %s",
                   Object::show(map).c_str());
    return;
  }
  size_t index = 0, count = 0;
  yyjson_val *key = nullptr, *value = nullptr;
  yyjson_obj_foreach(map, index, count, key, value) {
    if (!yyjson_is_str(value) || yyjson_get_len(key) == 0) {
      *status = fail(PTTS_ERROR_CONFIG, "config replace_characters.%.40s: expected a string, found %s",
                     yyjson_get_str(key), Object::show(value).c_str());
      return;
    }
    rules.replace_characters.emplace_back(std::string(yyjson_get_str(key), yyjson_get_len(key)),
                                          std::string(yyjson_get_str(value), yyjson_get_len(value)));
  }
}

void read_flow_lm(Object lm, Config* config, ptts_status* status) {
  check_dtype(lm);
  lm.text_or("weights_path", "");
  config->bos_before_voice = lm.flag_or("insert_bos_before_voice", false);
  config->z_dim = lm.integer_or("z_dim", 1, kMaxWidth, 0);
  config->backbone = read_backbone(lm.object("transformer"), status);

  Object flow = lm.object("flow");
  config->flow_dim = flow.integer("dim", 2, kMaxWidth);
  config->flow_depth = flow.integer("depth", 0, kMaxLayers);
  const std::string type = flow.text_or("type", "lsd");
  flow.finish();
  if (type == "lsd") {
    config->flow_type = FlowType::kLsd;
  } else if (type == "flow_matching") {
    config->flow_type = FlowType::kFlowMatching;
  } else if (type == "drifting") {
    config->flow_type = FlowType::kDrifting;
  } else if (type == "pointwise") {
    config->flow_type = FlowType::kPointwise;
  } else if (*status == PTTS_OK) {
    *status =
        fail(PTTS_ERROR_CONFIG,
             "config flow_lm.flow.type: expected lsd, flow_matching, drifting or pointwise, found \"%.40s\"",
             type.c_str());
  }

  Object table = lm.object("lookup_table");
  const size_t dim = table.integer("dim", 1, kMaxWidth);
  config->n_bins = table.integer("n_bins", 1, 1000000);
  config->rank = table.integer_or("rank", 1, kMaxWidth, 0);
  table.text_or("tokenizer", "");
  table.text_or("tokenizer_path", "");
  table.finish();
  if (*status == PTTS_OK && dim != config->backbone.d_model) {
    *status = fail(PTTS_ERROR_CONFIG, "config flow_lm.lookup_table.dim: expected d_model, %zu, found %zu",
                   config->backbone.d_model, dim);
  }
  lm.finish();
}

void read_mimi(Object mimi, Config* config, ptts_status* status) {
  check_dtype(mimi);
  mimi.text_or("weights_path", "");
  mimi.integer("channels", 1, 1);
  config->sample_rate = mimi.integer("sample_rate", 24000, 24000);
  const double frame_rate = mimi.number_or("frame_rate", 1, 1000, 0);
  config->encoder = read_seanet(mimi.object("seanet"), "mimi.seanet", status);
  config->encoder_transformer =
      read_codec_transformer(mimi.object("transformer"), "mimi.transformer", status);
  config->decoder = mimi.has("decoder_seanet")
                        ? read_seanet(mimi.object("decoder_seanet"), "mimi.decoder_seanet", status)
                        : config->encoder;
  config->decoder_transformer =
      mimi.has("decoder_transformer")
          ? read_codec_transformer(mimi.object("decoder_transformer"), "mimi.decoder_transformer", status)
          : config->encoder_transformer;
  Object quantizer = mimi.object("quantizer");
  config->latent = quantizer.integer("dimension", 1, kMaxWidth);
  const size_t quantizer_out = quantizer.integer("output_dimension", 1, kMaxWidth);
  quantizer.finish();
  config->inner_dim = mimi.integer_or("inner_dim", 1, kMaxWidth, config->encoder.dimension);
  config->outer_dim = mimi.integer_or("outer_dim", 1, kMaxWidth, config->decoder.dimension);
  mimi.finish();
  if (*status != PTTS_OK) return;

  const double samples = frame_rate > 0 ? static_cast<double>(config->sample_rate) / frame_rate : 0;
  config->samples_per_frame = static_cast<size_t>(samples);
  const size_t hop = config->encoder.hop();
  if (samples != std::floor(samples) || samples < 1 || config->samples_per_frame % hop != 0 ||
      config->samples_per_frame / hop < 2 || config->samples_per_frame / hop > kMaxHops ||
      config->decoder.hop() != hop) {
    *status =
        fail(PTTS_ERROR_CONFIG,
             "config mimi: %zu Hz, %g frames/s and hops of %zu (encoder) and %zu (decoder) samples do not "
             "fit: a frame must be a whole number, 2 to %zu, of equal hops",
             config->sample_rate, frame_rate, hop, config->decoder.hop(), kMaxHops);
    return;
  }
  // What the reference's layers would refuse when the first tensor passes through them.
  const struct {
    const char* field;
    size_t expected, found;
  } widths[] = {
      {"mimi.outer_dim (quantizer.output_dimension)", quantizer_out, config->outer_dim},
      {"mimi.outer_dim (decoder dimension)", config->decoder.dimension, config->outer_dim},
      {"mimi decoder transformer input_dimension", config->decoder.dimension,
       config->decoder_transformer.input_dim},
      {"mimi decoder transformer output_dimensions", config->decoder.dimension,
       config->decoder_transformer.output_dim},
      {"mimi transformer input_dimension", config->encoder.dimension, config->encoder_transformer.input_dim},
      {"mimi transformer output_dimensions", config->encoder.dimension,
       config->encoder_transformer.output_dim},
  };
  for (const auto& width : widths) {
    if (width.expected != width.found) {
      *status = fail(PTTS_ERROR_CONFIG, "config %s: expected %zu, found %zu", width.field, width.expected,
                     width.found);
      return;
    }
  }
}

}  // namespace

ptts_status parse_config(std::string_view json, Config* config) {
  if (json.size() > 1 << 20) {
    return fail(PTTS_ERROR_CONFIG, "config: expected at most 1048576 bytes, found %zu", json.size());
  }
  yyjson_read_err error;
  std::string copy(json);  // the reader wants mutable bytes
  const JsonDocument document(
      yyjson_read_opts(copy.data(), copy.size(), YYJSON_READ_NOFLAG, nullptr, &error));
  if (document == nullptr) {
    return fail(PTTS_ERROR_CONFIG, "config: not JSON: %s at byte %zu", error.msg, error.pos);
  }
  *config = Config();
  ptts_status status = PTTS_OK;
  Object root(yyjson_doc_get_root(document.get()), "", &status);
  root.text_or("weights_path", "");
  root.text_or("weights_path_without_voice_cloning", "");
  config->default_temperature = static_cast<float>(root.number_or("default_temperature", 0, 100, 0.3));
  config->default_eos_threshold =
      static_cast<float>(root.number_or("default_eos_threshold", -1e9, 1e9, -4.0));
  read_text(root, config, &status);
  read_flow_lm(root.object("flow_lm"), config, &status);
  read_mimi(root.object("mimi"), config, &status);
  root.finish();
  return status;
}

}  // namespace ptts

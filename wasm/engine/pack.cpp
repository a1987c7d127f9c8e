// Loading: names to places, bytes to weights, and every reason to say no.
#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ptts {

namespace {

constexpr size_t kStaging = 2048;  // values converted at a time
constexpr size_t kBlock = 32;      // what the heap adds to a tensor's buffers, about

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}
bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}
bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void replace_all(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size())) {
    text->replace(at, from.size(), to);
  }
}

// A name of a FlowLM file of its own -> the bundle's name; empty: dropped.
std::string flow_lm_name(const std::string& name) {
  if (starts_with(name, "flow.w_s_t.") || name == "num_ema_updates" ||
      name == "condition_provider.conditioners.transcript_in_segment.learnt_padding" ||
      name == "condition_provider.conditioners.speaker_wavs.learnt_padding") {
    return "";
  }
  if (name == "condition_provider.conditioners.transcript_in_segment.embed.weight") {
    return "flow_lm.conditioner.embed.weight";
  }
  if (name == "condition_provider.conditioners.speaker_wavs.output_proj.weight")
    return "flow_lm.speaker_proj_weight";
  if (name == "fuser.padding_value") return "flow_lm.bos_before_voice";
  std::string renamed = "flow_lm." + name;
  replace_all(&renamed, ".self_attn.in_proj_weight", ".self_attn.in_proj.weight");
  return renamed;
}

// The same for a Mimi file in the training layout.
std::string mimi_name(std::string name) {
  if (starts_with(name, "model.quantizer.vq.") || name == "model.quantizer.logvar_proj.weight" ||
      name == "quantizer.logvar_proj.weight" || name == "quantizer.logvar_param" ||
      contains(name, "_codebook") || contains(name, "wavlm_emb_downsample") ||
      name == "wavlm_input_resample.kernel" || name == "wavlm_proj.weight") {
    return "";
  }
  if (starts_with(name, "model.")) name.erase(0, 6);
  replace_all(&name, ".conv.conv.", ".conv.");
  replace_all(&name, ".convtr.convtr.", ".convtr.");
  replace_all(&name, "in_proj_weight", "in_proj.weight");
  return "mimi." + name;
}

const char* precision_name(uint32_t precision) {
  return precision == PTTS_PRECISION_F32 ? "f32" : precision == PTTS_PRECISION_Q8 ? "q8" : "q4";
}

const char* part_name(uint32_t part) {
  return part == PTTS_PART_FLOW_LM        ? "FlowLM"
         : part == PTTS_PART_MIMI_DECODER ? "Mimi decoder"
                                          : "Mimi encoder";
}

}  // namespace

ptts_status Pack::open(std::string_view config_json, uint32_t parts, uint32_t precision) {
  if (parts == 0 || (parts & ~uint32_t{PTTS_PART_ALL}) != 0) {
    return fail(PTTS_ERROR_ARGUMENT, "parts: expected a sum of PTTS_PART_*, found %u", parts);
  }
  if ((parts & PTTS_PART_MIMI_ENCODER) != 0 && (parts & PTTS_PART_FLOW_LM) == 0) {
    return fail(PTTS_ERROR_ARGUMENT, "parts: the Mimi encoder needs the FlowLM beside it");
  }
  if (precision > PTTS_PRECISION_Q4) {
    return fail(PTTS_ERROR_ARGUMENT, "precision: expected PTTS_PRECISION_*, found %u", precision);
  }
  model_ = std::make_unique<Model>();
  model_->parts = parts;
  model_->precision = precision;
  PTTS_TRY(parse_config(config_json, &model_->config));
  plan_ = std::make_shared<std::vector<Slot>>(plan_model(model_.get()));
  return PTTS_OK;
}

ptts_status Pack::tokenizer(uint32_t kind, std::span<const uint8_t> file) {
  if (kind != PTTS_TOKENIZER_SENTENCEPIECE && kind != PTTS_TOKENIZER_JSON) {
    return fail(PTTS_ERROR_ARGUMENT, "tokenizer kind: expected PTTS_TOKENIZER_*, found %u", kind);
  }
  return Tokenizer::load(kind, file, model_->config.n_bins, &model_->tokenizer);
}

const char* Pack::file_name() const {
  return kind_ == PTTS_FILE_BUNDLE    ? "weights"
         : kind_ == PTTS_FILE_FLOW_LM ? "FlowLM weights"
                                      : "Mimi weights";
}

Slot* Pack::find(const std::string& name) {
  const auto slot = std::lower_bound(plan_->begin(), plan_->end(), name,
                                     [](const Slot& s, const std::string& n) { return s.name < n; });
  return slot != plan_->end() && slot->name == name ? &*slot : nullptr;
}

ptts_status Pack::file(uint32_t kind, uint64_t total_bytes) {
  if (broken_ < 0) return fail(PTTS_ERROR_STATE, "this pack failed before: open a new one");
  if (kind > PTTS_FILE_MIMI)
    return fail(PTTS_ERROR_ARGUMENT, "file kind: expected PTTS_FILE_*, found %u", kind);
  if (in_file_) {
    return fail(PTTS_ERROR_STATE, "%s: %llu of %llu bytes came before the next file was announced",
                file_name(), static_cast<unsigned long long>(received_),
                static_cast<unsigned long long>(total_));
  }
  if ((files_seen_ & 1u << kind) != 0) return fail(PTTS_ERROR_STATE, "a file of this kind came already");
  kind_ = kind;
  total_ = total_bytes;
  received_ = 0;
  header_.clear();
  header_length_ = 0;
  header_done_ = false;
  entries_.clear();
  if (total_bytes < 8) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: expected a safetensors file, found %llu bytes", file_name(),
                static_cast<unsigned long long>(total_bytes));
  }
  files_seen_ |= 1u << kind;
  in_file_ = true;
  return PTTS_OK;
}

ptts_status Pack::feed(std::span<const uint8_t> bytes) {
  if (broken_ < 0) return fail(PTTS_ERROR_STATE, "this pack failed before: open a new one");
  if (!in_file_) return fail(PTTS_ERROR_STATE, "ptts_pack_feed: announce a file with ptts_pack_file first");
  const auto take = [&]() -> ptts_status {
    if (bytes.size() > total_ - received_) {
      return fail(PTTS_ERROR_WEIGHTS, "%s: announced as %llu bytes, more came", file_name(),
                  static_cast<unsigned long long>(total_));
    }
    received_ += bytes.size();
    while (!header_done_ && !bytes.empty()) {
      const uint64_t wanted = header_length_ == 0 ? 8 : 8 + header_length_;
      const size_t here = static_cast<size_t>(std::min<uint64_t>(wanted - header_.size(), bytes.size()));
      header_.append(reinterpret_cast<const char*>(bytes.data()), here);
      bytes = bytes.subspan(here);
      if (header_.size() == wanted) PTTS_TRY(read_header());
    }
    while (!bytes.empty()) PTTS_TRY(take_tensor_bytes(&bytes));
    return received_ == total_ ? finish_file() : PTTS_OK;
  };
  const ptts_status status = take();
  if (status < 0) broken_ = status;
  return status;
}

ptts_status Pack::read_header() {
  if (header_length_ == 0) {
    for (size_t i = 8; i-- > 0;) header_length_ = header_length_ << 8 | static_cast<uint8_t>(header_[i]);
    if (header_length_ < 2 || header_length_ > kMaxHeaderBytes || header_length_ > total_ - 8) {
      return fail(PTTS_ERROR_WEIGHTS, "%s: expected a header of 2 to %llu bytes, its length field says %llu",
                  file_name(),
                  static_cast<unsigned long long>(std::min<uint64_t>(kMaxHeaderBytes, total_ - 8)),
                  static_cast<unsigned long long>(header_length_));
    }
    return PTTS_OK;
  }
  const std::string_view json = std::string_view(header_).substr(8);
  PTTS_TRY(parse_header(json, total_ - 8 - header_length_, PTTS_ERROR_WEIGHTS, file_name(), &entries_));
  mimi_prefixed_ = std::any_of(entries_.begin(), entries_.end(),
                               [](const TensorEntry& e) { return starts_with(e.name, "mimi."); });
  header_done_ = true;
  header_ = std::string();
  // All names are judged before the first byte of weights: a wrong file fails at once.
  size_t bytes = 0;
  for (const TensorEntry& entry : entries_) {
    Target target;
    PTTS_TRY(resolve(entry, &target));
    const bool whole = target.slot != nullptr && target.what != Slot::kScales;
    if (whole) bytes += kBlock + target.slot->working_bytes(model_->precision);
  }
  // Linear memory grows once to what the file takes, not tensor by tensor.  What is refused here is asked for again
  // piece by piece.
  void* volatile room = std::malloc(bytes);
  std::free(room);
  entry_ = 0;
  return begin_tensor();
}

// Finds what a tensor is for and checks its type and shape.
ptts_status Pack::resolve(const TensorEntry& entry, Target* target) {
  std::string name = entry.name;
  if (kind_ == PTTS_FILE_FLOW_LM) name = flow_lm_name(entry.name);
  if (kind_ == PTTS_FILE_MIMI) {
    if (mimi_prefixed_ && !starts_with(entry.name, "mimi.")) return PTTS_OK;
    if (!mimi_prefixed_) {
      const bool g = ends_with(entry.name, ".weight_g"), v = ends_with(entry.name, ".weight_v");
      name = mimi_name(g || v ? entry.name.substr(0, entry.name.size() - 2) : entry.name);
      if ((g || v) && !name.empty()) {
        Slot* slot = find(name);
        if (slot == nullptr)
          return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: not a tensor of this model", file_name(),
                      entry.name.c_str());
        WeightNorm& norm = weight_norms_[name];
        norm.slot = slot;
        TensorEntry expected = entry;
        if (g) {  // one length for each index of the first axis
          Shape lengths(slot->shape.size(), 1);
          lengths[0] = slot->shape[0];
          if (entry.shape != lengths) {
            return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: expected %s, file has %s", file_name(),
                        entry.name.c_str(), show_shape(lengths).c_str(), show_shape(entry.shape).c_str());
          }
          expected.shape = slot->shape;
        }
        Target whole;
        PTTS_TRY(match(expected, slot, &whole));
        target->slot = whole.slot;
        target->norm = g ? &norm.g : &norm.v;
        target->norm_filled = g ? &norm.g_filled : &norm.v_filled;
        return PTTS_OK;
      }
    }
  }
  if (name.empty()) return PTTS_OK;
  Slot* slot = find(name);
  // A Mimi file of its own replaces the bundle's Mimi, in whichever order they come.
  if (kind_ == PTTS_FILE_BUNDLE && (files_seen_ & 1u << PTTS_FILE_MIMI) != 0 && starts_with(name, "mimi.")) {
    return PTTS_OK;
  }
  if (slot == nullptr) {
    bool found = false;
    PTTS_TRY(match_packed(entry, name, target, &found));
    if (found) return PTTS_OK;
    return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: not a tensor of this model", file_name(),
                entry.name.c_str());
  }
  return match(entry, slot, target);
}

// Integer weights of a converted file, and their scales: "NAME.q8" and "NAME.scale".
ptts_status Pack::match_packed(const TensorEntry& entry, const std::string& name, Target* target,
                               bool* found) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || kind_ != PTTS_FILE_BUNDLE) return PTTS_OK;
  Slot* slot = find(name.substr(0, dot));
  const std::string_view suffix = std::string_view(name).substr(dot);
  const bool scales = suffix == kScaleSuffix;
  const bool packed = suffix == ".q4" || suffix == ".q8" || suffix == ".q12";
  if (slot == nullptr || slot->matrix == nullptr || (!scales && !packed)) return PTTS_OK;
  *found = true;
  const Matrix::Type type = slot->working(model_->precision);
  if (type == Matrix::Type::kF32 || (packed && suffix != packed_suffix(type))) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: integer weights that precision %s does not have",
                file_name(), entry.name.c_str(), precision_name(model_->precision));
  }
  Matrix like;
  like.lay_out(slot->matrix_shape(), type);
  Shape shape = packed ? Shape{like.n(), like.packed_row_bytes()} : Shape{like.n()};
  if (scales && type == Matrix::Type::kInt4) shape.push_back(like.blocks());
  const Dtype dtype = scales ? (type == Matrix::Type::kInt4 ? Dtype::kF16 : Dtype::kF32)
                             : (type == Matrix::Type::kInt8 ? Dtype::kI8 : Dtype::kU8);
  if (entry.dtype != dtype || entry.shape != shape) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: expected %s %s, file has %s %s", file_name(),
                entry.name.c_str(), dtype_name(dtype), show_shape(shape).c_str(), entry.dtype_text.c_str(),
                show_shape(entry.shape).c_str());
  }
  target->what = scales ? Slot::kScales : Slot::kPacked;
  if ((slot->part & model_->parts) != 0) target->slot = slot;
  return PTTS_OK;
}

ptts_status Pack::match(const TensorEntry& entry, Slot* slot, Target* target) {
  if (!is_float(entry.dtype)) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: expected F32, F16 or BF16, file has %s", file_name(),
                entry.name.c_str(), entry.dtype_text.c_str());
  }
  if (entry.shape != slot->shape) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: expected %s, file has %s", file_name(), entry.name.c_str(),
                show_shape(slot->shape).c_str(), show_shape(entry.shape).c_str());
  }
  if ((slot->part & model_->parts) != 0) target->slot = slot;
  return PTTS_OK;
}

// Prepares for the tensor at entry_; one without elements is complete at once.
ptts_status Pack::begin_tensor() {
  for (; entry_ < entries_.size(); ++entry_) {
    const TensorEntry& entry = entries_[entry_];
    element_ = 0;
    carried_ = 0;
    target_ = Target();
    PTTS_TRY(resolve(entry, &target_));
    if (target_.norm != nullptr) {
      PTTS_TRY(target_.norm->allocate(shape_count(entry.shape), entry.name.c_str()));
    } else if (target_.slot != nullptr) {
      Slot& slot = *target_.slot;
      if (kind_ == PTTS_FILE_MIMI) slot.seen = 0;  // replaces what a bundle had
      const uint8_t others = target_.what == Slot::kValues ? Slot::kPacked | Slot::kScales : Slot::kValues;
      if ((slot.seen & (target_.what | others)) != 0) {
        return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: came already", file_name(), entry.name.c_str());
      }
      if (slot.seen == 0) PTTS_TRY(slot.create(model_->precision, target_.what != Slot::kValues));
      slot.seen = static_cast<uint8_t>(slot.seen | target_.what);
    }
    if (entry.begin != entry.end) break;
  }
  return PTTS_OK;
}

ptts_status Pack::take_tensor_bytes(std::span<const uint8_t>* bytes) {
  if (entry_ == entries_.size())
    return fail(PTTS_ERROR_WEIGHTS, "%s: bytes behind the last tensor", file_name());
  const TensorEntry& entry = entries_[entry_];
  const size_t size = dtype_size(entry.dtype);
  if (target_.slot == nullptr) {  // passed over; here element_ counts bytes
    const uint64_t left = entry.end - entry.begin - element_;
    const size_t here = static_cast<size_t>(std::min<uint64_t>(left, bytes->size()));
    *bytes = bytes->subspan(here);
    element_ += here;
    if (here == left) {
      ++entry_;
      return begin_tensor();
    }
    return PTTS_OK;
  }
  const uint64_t count = shape_count(entry.shape);
  if (target_.what == Slot::kPacked) {  // bytes as they are
    const size_t here = static_cast<size_t>(std::min<uint64_t>(bytes->size(), count - element_));
    PTTS_TRY(target_.slot->matrix->put_packed(static_cast<size_t>(element_), bytes->data(), here,
                                              entry.name.c_str()));
    *bytes = bytes->subspan(here);
    element_ += here;
    if (element_ == count) {
      ++entry_;
      return begin_tensor();
    }
    return PTTS_OK;
  }
  float staging[kStaging];
  if (carried_ > 0 || bytes->size() < size) {  // a value cut in two by the slices
    while (carried_ < size && !bytes->empty()) {
      carry_[carried_++] = bytes->front();
      *bytes = bytes->subspan(1);
    }
    if (carried_ < size) return PTTS_OK;
    carried_ = 0;
    to_f32(entry.dtype, carry_, 1, staging);
    PTTS_TRY(take_values(staging, 1));
  } else {
    const size_t here =
        static_cast<size_t>(std::min<uint64_t>({bytes->size() / size, count - element_, uint64_t{kStaging}}));
    to_f32(entry.dtype, bytes->data(), here, staging);
    *bytes = bytes->subspan(here * size);
    PTTS_TRY(take_values(staging, here));
  }
  if (element_ == count) {
    ++entry_;
    return begin_tensor();
  }
  return PTTS_OK;
}

ptts_status Pack::take_values(const float* values, size_t count) {
  const Slot& slot = *target_.slot;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: element %llu is not a finite number", file_name(),
                  entries_[entry_].name.c_str(), static_cast<unsigned long long>(element_ + i));
    }
  }
  if (!encoder_nonzero_ && starts_with(slot.name, "mimi.encoder.") && ends_with(slot.name, ".weight")) {
    encoder_nonzero_ = std::any_of(values, values + count, [](float v) { return v != 0; });
  }
  if (target_.norm != nullptr) {
    std::copy_n(values, count, target_.norm->data() + element_);
    *target_.norm_filled += count;
  } else if (target_.what == Slot::kScales) {
    for (size_t i = 0; i < count; ++i)
      target_.slot->matrix->put_scale(static_cast<size_t>(element_) + i, values[i]);
  } else {
    PTTS_TRY(target_.slot->put(static_cast<size_t>(element_), values, count));
  }
  element_ += count;
  return PTTS_OK;
}

// weight = g * v / |v|, the length over all axes but the first.
ptts_status Pack::finish_weight_norms() {
  for (auto& [name, norm] : weight_norms_) {
    Slot& slot = *norm.slot;
    if ((slot.part & model_->parts) == 0 || shape_count(slot.shape) == 0) continue;
    const size_t rows = slot.shape[0], width = shape_count(slot.shape) / rows;
    if (norm.v_filled != rows * width || norm.g_filled != rows) {
      return fail(PTTS_ERROR_WEIGHTS, "%s: %.200s: expected both weight_g and weight_v, found one",
                  file_name(), name.c_str());
    }
    slot.seen = Slot::kValues;
    PTTS_TRY(slot.create(model_->precision, false));
    for (size_t r = 0; r < rows; ++r) {
      double squares = 0;
      float* row = norm.v.data() + r * width;
      for (size_t i = 0; i < width; ++i) squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
      const float length = static_cast<float>(std::sqrt(squares));
      for (size_t i = 0; i < width; ++i) row[i] = length > 0 ? row[i] * (norm.g[r] / length) : 0.0f;
      PTTS_TRY(slot.put(r * width, row, width));
    }
  }
  weight_norms_.clear();
  return PTTS_OK;
}

ptts_status Pack::finish_file() {
  in_file_ = false;
  if (!header_done_) return fail(PTTS_ERROR_WEIGHTS, "%s: ends inside its header", file_name());
  return finish_weight_norms();
}

ptts_status Pack::close(std::unique_ptr<Model>* model) {
  if (broken_ < 0) return fail(PTTS_ERROR_STATE, "this pack failed before: open a new one");
  if (in_file_) {
    return fail(PTTS_ERROR_WEIGHTS, "%s: ends after %llu of %llu bytes", file_name(),
                static_cast<unsigned long long>(received_), static_cast<unsigned long long>(total_));
  }
  Model& m = *model_;
  // A file without any encoder is whole: such a model cannot make voices from audio.
  const auto present_of = [&](uint32_t part, bool present) {
    return std::count_if(plan_->begin(), plan_->end(),
                         [&](const Slot& s) { return s.part == part && s.present() == present; });
  };
  if (present_of(PTTS_PART_MIMI_ENCODER, true) == 0) m.parts &= ~uint32_t{PTTS_PART_MIMI_ENCODER};
  for (const Slot& slot : *plan_) {
    if ((slot.part & m.parts) == 0 || slot.present()) continue;
    return fail(PTTS_ERROR_WEIGHTS, "weights: %s: missing (one of %zu missing tensors of the %s)",
                slot.name.c_str(), static_cast<size_t>(present_of(slot.part, false)), part_name(slot.part));
  }
  if (m.has(PTTS_PART_FLOW_LM) && m.tokenizer == nullptr) {
    return fail(PTTS_ERROR_STATE, "ptts_pack_close: the FlowLM needs a tokenizer (ptts_pack_tokenizer)");
  }
  if (m.has(PTTS_PART_FLOW_LM)) PTTS_TRY(m.flow_lm.transformer.prepare());
  if (m.has(PTTS_PART_MIMI_DECODER)) PTTS_TRY(m.decoder.transformer.transformer.prepare());
  if (m.has(PTTS_PART_MIMI_ENCODER)) PTTS_TRY(m.encoder.transformer.transformer.prepare());
  m.encoder.silent = !encoder_nonzero_;
  m.slots = plan_;
  for (const Slot& slot : *plan_) {
    if ((slot.part & m.parts) != 0) m.weight_bytes += slot.bytes();
  }
  *model = std::move(model_);
  return PTTS_OK;
}

}  // namespace ptts

// Voices: loading every generation of file, making them from audio, writing them.
#include "voice.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "audio.h"
#include "probe.h"
#include "safetensors.h"

namespace ptts {

namespace {

constexpr const char* kFile = "voice";

std::string layer_key(size_t layer, const char* key) {
  return "transformer.layers." + std::to_string(layer) + ".self_attn/" + key;
}

ptts_status allocate_voice(const Model& model, size_t positions, Voice* voice) {
  const TransformerConfig& c = model.config.backbone;
  if (positions < 1 || positions > kMaxVoicePositions) {
    return fail(PTTS_ERROR_VOICE, "voice: expected 1 to %zu positions, found %zu", kMaxVoicePositions,
                positions);
  }
  voice->positions = positions;
  voice->kv_heads = c.kv_heads;
  voice->head_dim = c.head_dim();
  voice->layers.clear();
  voice->layers.resize(c.layers);
  for (size_t i = 0; i < c.layers; ++i) {
    const bool integer = model.flow_lm.transformer.layers[i].in_proj.integer();
    PTTS_TRY(voice->layers[i].allocate(c, (positions + 3) / 4 * 4, integer));
  }
  return PTTS_OK;
}

// `first`: what stands before them.
ptts_status check_finite(const float* values, size_t count, size_t first, const char* name) {
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return fail(PTTS_ERROR_VOICE, "voice: %.200s: value %zu is not a finite number", name, first + i);
    }
  }
  return PTTS_OK;
}

// Runs prompt rows through the FlowLM, the row that stands before voices first, and keeps the caches.
ptts_status run_prompt(const Model& model, const float* rows, size_t count, Voice* voice) {
  const FlowLm& lm = model.flow_lm;
  const bool bos = !lm.bos_before_voice.empty();
  const size_t positions = count + (bos ? 1 : 0);
  PTTS_TRY(allocate_voice(model, positions, voice));
  FlowLmStreams stream;
  PTTS_TRY(stream.open(lm, positions, count));
  if (bos) stream.feed_rows(0, lm.bos_before_voice.data(), 1);
  stream.feed_rows(0, rows, count);
  if (probe::on) {
    record_cache("voice.kv.first", stream.state(0).layers.front(), positions, model.config.backbone);
    record_cache("voice.kv.last", stream.state(0).layers.back(), positions, model.config.backbone);
  }
  Buffer<float> made;
  PTTS_TRY(made.allocate(2 * voice->values(), "voice rows"));
  float* values = made.data() + voice->values();
  for (size_t i = 0; i < voice->layers.size(); ++i) {
    stream.state(0).layers[i].get(0, positions, made.data(), values);
    PTTS_TRY(check_finite(made.data(), voice->values(), 0, "the keys that the model made of the prompt"));
    PTTS_TRY(check_finite(values, voice->values(), 0, "the values that the model made of the prompt"));
    voice->layers[i].put_steady(0, positions, made.data(), values, model.config.backbone.kv_dim());
  }
  return PTTS_OK;
}

// The rows of generation a, already in the model's width.
ptts_status load_prompt(const Model& model, const SafetensorsFile& file, const TensorEntry& entry,
                        Voice* voice) {
  const size_t d = model.config.backbone.d_model;
  if (!is_float(entry.dtype) || entry.shape.size() != 3 || entry.shape[0] != 1 || entry.shape[2] != d ||
      entry.shape[1] < 1 || entry.shape[1] > kMaxVoicePositions) {
    return fail(PTTS_ERROR_VOICE, "voice: audio_prompt: expected floats [1, 1 to %zu, %zu], file has %s %s",
                kMaxVoicePositions, d, entry.dtype_text.c_str(), show_shape(entry.shape).c_str());
  }
  Buffer<float> rows;
  PTTS_TRY(rows.allocate(entry.shape[1] * d, "voice prompt"));
  to_f32(entry.dtype, file.data.data() + entry.begin, rows.size(), rows.data());
  PTTS_TRY(check_finite(rows.data(), rows.size(), 0, "audio_prompt"));
  return run_prompt(model, rows.data(), entry.shape[1], voice);
}

int64_t read_i64(const SafetensorsFile& file, const TensorEntry& entry) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | file.data[static_cast<size_t>(entry.begin) + i];
  return static_cast<int64_t>(value);
}

// Positions of one layer: the number in `offset`, or the length of `current_end`.
ptts_status read_length(const SafetensorsFile& file, size_t layer, size_t* length) {
  const std::string offset = layer_key(layer, "offset"), end = layer_key(layer, "current_end");
  const std::string pad = layer_key(layer, "pad");
  if (const TensorEntry* entry = file.find(pad); entry != nullptr) {
    if (entry->dtype != Dtype::kI64 || shape_count(entry->shape) != 1 || read_i64(file, *entry) != 0) {
      return fail(PTTS_ERROR_VOICE, "voice: %s: expected I64 [1] holding 0 (padded batches are not voices)",
                  pad.c_str());
    }
  }
  if (const TensorEntry* entry = file.find(offset); entry != nullptr) {
    if (entry->dtype != Dtype::kI64 || shape_count(entry->shape) != 1) {
      return fail(PTTS_ERROR_VOICE, "voice: %s: expected I64 [1], file has %s %s", offset.c_str(),
                  entry->dtype_text.c_str(), show_shape(entry->shape).c_str());
    }
    const int64_t value = read_i64(file, *entry);
    if (value < 1 || value > static_cast<int64_t>(kMaxVoicePositions)) {
      return fail(PTTS_ERROR_VOICE, "voice: %s: expected 1 to %zu, file has %lld", offset.c_str(),
                  kMaxVoicePositions, static_cast<long long>(value));
    }
    *length = static_cast<size_t>(value);
    return PTTS_OK;
  }
  if (const TensorEntry* entry = file.find(end); entry != nullptr && entry->shape.size() == 1) {
    *length = entry->shape[0];
    return PTTS_OK;
  }
  return fail(PTTS_ERROR_VOICE, "voice: %s: missing (and no current_end instead)", offset.c_str());
}

ptts_status load_layer(const Model& model, const SafetensorsFile& file, size_t layer, Voice* voice) {
  const TransformerConfig& c = model.config.backbone;
  const std::string key = layer_key(layer, "cache");
  const TensorEntry* cache = file.find(key);
  if (cache == nullptr) {
    return fail(PTTS_ERROR_VOICE, "voice: %s: missing; this model has %zu layers", key.c_str(), c.layers);
  }
  const Shape& s = cache->shape;
  if (!is_float(cache->dtype) || s.size() != 5 || s[0] != 2 || s[1] != 1 || s[3] != c.kv_heads ||
      s[4] != c.head_dim()) {
    return fail(PTTS_ERROR_VOICE, "voice: %s: expected floats [2, 1, T, %zu, %zu], file has %s %s",
                key.c_str(), c.kv_heads, c.head_dim(), cache->dtype_text.c_str(), show_shape(s).c_str());
  }
  size_t length = 0;
  PTTS_TRY(read_length(file, layer, &length));
  if (length > s[2]) {
    return fail(PTTS_ERROR_VOICE, "voice: %s: holds %zu positions, its length says %zu", key.c_str(), s[2],
                length);
  }
  if (layer == 0) {
    PTTS_TRY(allocate_voice(model, length, voice));
  } else if (length != voice->positions) {
    return fail(PTTS_ERROR_VOICE, "voice: %s: %zu positions, layer 0 has %zu", key.c_str(), length,
                voice->positions);
  }
  constexpr size_t kRows = 16;  // at a time
  const size_t width = c.kv_dim(), row_bytes = width * dtype_size(cache->dtype), half = s[2];
  const uint8_t* bytes = file.data.data() + cache->begin;
  Buffer<float> rows;
  PTTS_TRY(rows.allocate(2 * kRows * width, "voice rows"));
  float* values = rows.data() + kRows * width;
  for (size_t p = 0; p < length; p += kRows) {
    const size_t here = std::min(kRows, length - p);
    to_f32(cache->dtype, bytes + p * row_bytes, here * width, rows.data());
    to_f32(cache->dtype, bytes + (half + p) * row_bytes, here * width, values);
    PTTS_TRY(check_finite(rows.data(), here * width, p * width, key.c_str()));
    PTTS_TRY(check_finite(values, here * width, (half + p) * width, key.c_str()));
    voice->layers[layer].put_steady(p, here, rows.data(), values, width);
  }
  return PTTS_OK;
}

}  // namespace

ptts_status load_voice(const Model& model, std::span<const uint8_t> bytes, Voice* voice) {
  if (!model.has(PTTS_PART_FLOW_LM)) {
    return fail(PTTS_ERROR_STATE, "voices belong to the FlowLM, which is not loaded here");
  }
  SafetensorsFile file;
  PTTS_TRY(open_safetensors(bytes, PTTS_ERROR_VOICE, kFile, &file));
  if (const TensorEntry* prompt = file.find("audio_prompt"); prompt != nullptr) {
    return load_prompt(model, file, *prompt, voice);
  }
  const size_t layers = model.config.backbone.layers;
  if (file.find(layer_key(layers, "cache")) != nullptr) {
    return fail(PTTS_ERROR_VOICE, "voice: %s: this model has %zu layers, the voice has more",
                layer_key(layers, "cache").c_str(), layers);
  }
  for (size_t i = 0; i < layers; ++i) PTTS_TRY(load_layer(model, file, i, voice));
  return PTTS_OK;
}

ptts_status encode_voice(const Model& model, const float* samples, size_t count, uint32_t rate,
                         Voice* voice) {
  if (!model.has(PTTS_PART_FLOW_LM | PTTS_PART_MIMI_ENCODER)) {
    return fail(PTTS_ERROR_CLONING,
                "this model cannot make voices from audio: it was loaded without the Mimi encoder");
  }
  if (model.encoder.silent) {
    return fail(
        PTTS_ERROR_CLONING,
        "this model cannot make voices from audio: the weights of its Mimi encoder are all zero (the public "
        "weights; those with voice cloning have to be asked for)");
  }
  if (samples == nullptr || count < 1) {
    return fail(PTTS_ERROR_AUDIO, "voice audio: expected at least 1 sample, found none");
  }
  if (rate < kMinSampleRate || rate > kMaxSampleRate) {
    return fail(PTTS_ERROR_AUDIO, "voice audio: expected a rate of %u to %u Hz, found %u", kMinSampleRate,
                kMaxSampleRate, rate);
  }
  const double seconds = static_cast<double>(count) / rate;
  if (seconds > static_cast<double>(kMaxVoiceSeconds)) {
    return fail(PTTS_ERROR_AUDIO, "voice audio: expected at most %g seconds, found %.1f",
                static_cast<double>(kMaxVoiceSeconds), seconds);
  }
  PTTS_TRY(check_samples(samples, count));
  Buffer<float> at_24k, ended, latents, rows;
  PTTS_TRY(resample(samples, count, rate, static_cast<uint32_t>(model.config.sample_rate), &at_24k));
  PTTS_TRY(end_on_pause(at_24k.data(), at_24k.size(), &ended));
  size_t frames = 0;
  PTTS_TRY(encode_audio(model.encoder, ended.data(), ended.size(), &latents, &frames));
  const Matrix& projection = model.flow_lm.speaker_proj;
  PTTS_TRY(rows.allocate(frames * projection.n(), "voice rows"));
  Scratch scratch;
  projection.apply(latents.data(), frames, {}, rows.data(), scratch);
  if (probe::on) probe::record("voice.cond", rows.data(), {frames, projection.n()});
  return run_prompt(model, rows.data(), frames, voice);
}

ptts_status export_voice(const Voice& voice, void** data, size_t* length) {
  const size_t half = voice.values();
  Buffer<float> caches;  // keys and values of a layer stand behind each other in the file
  PTTS_TRY(caches.allocate(2 * half * voice.layers.size(), "voice file"));
  SafetensorsWriter writer;
  for (size_t i = 0; i < voice.layers.size(); ++i) {
    float* cache = caches.data() + 2 * half * i;
    voice.layers[i].get(0, voice.positions, cache, cache + half);
    writer.add_f32(layer_key(i, "cache"), {2, 1, voice.positions, voice.kv_heads, voice.head_dim}, cache);
    writer.add_i64(layer_key(i, "offset"), static_cast<int64_t>(voice.positions));
    writer.add_i64(layer_key(i, "pad"), 0);
  }
  return writer.write(data, length);
}

ptts_status check_voice(const Model& model, const Voice& voice) {
  const TransformerConfig& c = model.config.backbone;
  if (voice.layers.size() != c.layers || voice.kv_heads != c.kv_heads || voice.head_dim != c.head_dim()) {
    return fail(PTTS_ERROR_VOICE,
                "voice: made for %zu layers with %zu key/value heads of %zu; this model has %zu layers with "
                "%zu of %zu",
                voice.layers.size(), voice.kv_heads, voice.head_dim, c.layers, c.kv_heads, c.head_dim());
  }
  for (size_t i = 0; i < c.layers; ++i) {
    if (voice.layers[i].integer() != model.flow_lm.transformer.layers[i].in_proj.integer()) {
      return fail(PTTS_ERROR_VOICE,
                  "voice: made for a model of %s, this one is of %s: export it there and load it here",
                  voice.layers[i].integer() ? "integers" : "f32",
                  voice.layers[i].integer() ? "f32" : "integers");
    }
  }
  return PTTS_OK;
}

}  // namespace ptts

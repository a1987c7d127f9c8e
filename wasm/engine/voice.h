// A voice: the key/value cache of the FlowLM after a voice prompt.
//
// Files (safetensors), by generation:
//   a  audio_prompt [1, T, d_model]: rows after speaker_proj, run through the FlowLM at loading
//   b  transformer.layers.i.self_attn/cache [2, 1, capacity, kv_heads, head_dim] + current_end, whose LENGTH is T
//   c  the same cache + offset I64 [1] = T
//   d  as c, and pad I64 [1] = 0: what is written here
// Rows of a cache at or behind T may be anything, also not numbers; they are not read.
#ifndef PTTS_VOICE_H_
#define PTTS_VOICE_H_

#include <span>
#include <vector>

#include "model.h"

namespace ptts {

// Longest prompt; 120 s of audio are 1500 rows.
inline constexpr size_t kMaxVoicePositions = 4096;
inline constexpr float kMaxVoiceSeconds = 120;

// Written with KvCache::put_steady: a voice of integers is not changed by being written to a file and read again.
struct Voice {
  std::vector<KvCache> layers;
  size_t positions = 0, kv_heads = 0, head_dim = 0;
  size_t values() const { return positions * kv_heads * head_dim; }  // keys of a layer
  // Positions that the caches of streams share with it; what is left they have of their own.
  size_t shared() const { return positions / 4 * 4; }
};

[[nodiscard]] ptts_status load_voice(const Model& model, std::span<const uint8_t> file, Voice* voice);

// Mono samples at any rate -> 24 kHz, cut at a pause, encoded, run through the FlowLM.
[[nodiscard]] ptts_status encode_voice(const Model& model, const float* samples, size_t count, uint32_t rate,
                                       Voice* voice);

[[nodiscard]] ptts_status export_voice(const Voice& voice, void** data, size_t* length);

// Whether a voice was made for models of this shape and kind of numbers; the message names the first difference.
[[nodiscard]] ptts_status check_voice(const Model& model, const Voice& voice);

}  // namespace ptts

#endif

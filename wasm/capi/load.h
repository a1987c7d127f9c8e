// A folder becomes a model: its pack.json, or the reference's configuration in it, is read; the files that it names are
// streamed into the engine and checked on the way.
#ifndef PTTS_CAPI_LOAD_H_
#define PTTS_CAPI_LOAD_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "files.h"
#include "model.h"

namespace ptts::capi {

inline constexpr uint64_t kVoiceLimit = 64 << 20;
inline constexpr uint64_t kAudioLimit = 256 << 20;

struct LoadOptions {
  Path folder;                        // of the model; or a configuration
  std::optional<Path> tokenizer;      // in place of the model's
  std::optional<uint32_t> precision;  // PTTS_PRECISION_*; none: the pack's own, else q8
  std::optional<Path> voices;         // a folder of more voices
  bool cloning = true;
};

// Where a voice by name is.
struct VoiceSource {
  Path path;
  std::string sha256;  // empty: not promised
  std::optional<uint64_t> bytes;
};

struct Loaded {
  std::shared_ptr<const Model> model;
  std::string identity;  // equal for equal models: which voices are theirs
  bool has_temperature = false;
  bool cloning = true;
  std::string no_cloning_reason;
  std::vector<std::string> names;  // of the voices, the default one first
  std::map<std::string, VoiceSource, std::less<>> voices;
};

[[nodiscard]] ptts_status load(const LoadOptions& options, Loaded* loaded);

}  // namespace ptts::capi

#endif

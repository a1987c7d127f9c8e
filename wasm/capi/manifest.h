// Reads pack.json (models/FORMAT.md): takes and refuses what the JavaScript and the Go reader do.
#ifndef PTTS_CAPI_MANIFEST_H_
#define PTTS_CAPI_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "status.h"

namespace ptts::capi {

inline constexpr uint64_t kManifestLimit = 1 << 20;

enum class Role { kWeights, kFlowLm, kMimi, kEncoder, kTokenizer, kVoice, kOther };

struct PackFile {
  std::string path;  // in the pack's folder, unless it has a
  Path place;        // wherever that is
  Role role = Role::kOther;
  bool json = false;   // of a tokenizer
  std::string name;    // of a voice
  std::string sha256;  // empty: not promised
  std::optional<uint64_t> bytes;
};

struct Manifest {
  std::string config;  // JSON
  bool has_temperature = false;
  std::vector<PackFile> files;
  std::string default_voice;  // empty: none
  std::string precision;      // empty: the reader's own
  bool cloning = true;        // false: not to be used
  std::string reason;         // why

  const PackFile* tokenizer() const;
  const PackFile* voice(std::string_view name) const;
};

// `name` stands before the messages.
[[nodiscard]] ptts_status parse_manifest(std::string_view json, const std::string& name, Manifest* manifest);

}  // namespace ptts::capi

#endif

// Folders with the reference's own files: its configuration (YAML), weights as safetensors, a tokenizer.  They become
// manifests, as in the JavaScript and the Go host (models/FORMAT.md, "Configurations without pack.json").
#ifndef PTTS_CAPI_REFERENCE_H_
#define PTTS_CAPI_REFERENCE_H_

#include <string>

#include "files.h"
#include "manifest.h"

namespace ptts::capi {

// The configuration in a folder, or `place` itself where it is one.  Empty where there is none.
[[nodiscard]] ptts_status find_config(const Path& place, Path* config);

// `with_tokenizer`: the one that it names has to be there.
[[nodiscard]] ptts_status read_config(const Path& config, bool with_tokenizer, Manifest* manifest);

}  // namespace ptts::capi

#endif

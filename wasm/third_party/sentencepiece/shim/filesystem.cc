// Replaces upstream's src/filesystem.cc: this library never opens a file.
#include "filesystem.h"

namespace sentencepiece {
namespace filesystem {

std::unique_ptr<ReadableFile> NewReadableFile(absl::string_view, bool) { return nullptr; }
std::unique_ptr<WritableFile> NewWritableFile(absl::string_view, bool) { return nullptr; }

}  // namespace filesystem
}  // namespace sentencepiece

// Plain files, read in slices or whole; failures are statuses with a message (wasm/engine/status.h).
#ifndef PTTS_CAPI_FILES_H_
#define PTTS_CAPI_FILES_H_

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sha-256.h"
#include "status.h"

namespace ptts::capi {

using Bytes = std::vector<uint8_t>;
using Path = std::filesystem::path;

Path path_of(std::string_view utf8);
std::string show(const Path& path);
std::string extension_of(const Path& path);  // ".wav", in lower case

class Sha256 {
 public:
  Sha256() { sha_256_init(&state_, sum_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::span<const uint8_t> bytes) { sha_256_write(&state_, bytes.data(), bytes.size()); }
  std::string hex();  // once, at the end

 private:
  Sha_256 state_;
  uint8_t sum_[SIZE_OF_SHA_256_HASH];
};

// A file that is a plain one after links are followed: opening a FIFO waits for a writer who may never come.
class File {
 public:
  [[nodiscard]] ptts_status open(const Path& path);
  uint64_t size() const { return size_; }
  // The next bytes, as many as there is room for unless the file ends.
  [[nodiscard]] ptts_status read(std::span<uint8_t> room, size_t* got);
  // All of a file of at most `limit` bytes.
  [[nodiscard]] ptts_status read_all(uint64_t limit, Bytes* bytes);
  const std::string& name() const { return name_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t size_ = 0;
  std::string name_;
};

// The file `path` (models/FORMAT.md) of a pack in `folder`; one that a link leads out of it is refused.
[[nodiscard]] ptts_status resolve_inside(const Path& folder, std::string_view path, Path* found);

// Writes a file beside its place and moves it there.
[[nodiscard]] ptts_status write_file(const Path& path, std::span<const uint8_t> bytes);

}  // namespace ptts::capi

#endif

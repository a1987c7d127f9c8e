#include "files.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>

namespace ptts::capi {

namespace fs = std::filesystem;

namespace {

std::FILE* open_native(const Path& path, bool to_write) {
#ifdef _WIN32
  return _wfopen(path.c_str(), to_write ? L"wbx" : L"rb");
#else
  return std::fopen(path.c_str(), to_write ? "wbxe" : "rbe");
#endif
}

const char* kind_of(fs::file_type type) {
  switch (type) {
    case fs::file_type::directory: return "a folder";
    case fs::file_type::fifo: return "a FIFO";
    case fs::file_type::socket: return "a socket";
    case fs::file_type::block:
    case fs::file_type::character: return "a device";
    default: return "something else";
  }
}

}  // namespace

Path path_of(std::string_view utf8) {
  return Path(std::u8string_view(reinterpret_cast<const char8_t*>(utf8.data()), utf8.size()));
}

std::string show(const Path& path) {
  const std::u8string text = path.u8string();
  return std::string(text.begin(), text.end());
}

std::string extension_of(const Path& path) {
  std::string extension = show(path.extension());
  for (char& c : extension) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return extension;
}

std::string Sha256::hex() {
  const uint8_t* sum = sha_256_close(&state_);
  std::string text;
  for (size_t i = 0; i < SIZE_OF_SHA_256_HASH; ++i) {
    text += "0123456789abcdef"[sum[i] >> 4];
    text += "0123456789abcdef"[sum[i] & 15];
  }
  return text;
}

ptts_status File::open(const Path& path) {
  name_ = show(path);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected a file, found none", name_.c_str());
  }
  if (!fs::is_regular_file(status)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected a plain file, found %s", name_.c_str(),
                kind_of(status.type()));
  }
  size_ = fs::file_size(path, error);
  file_.reset(error ? nullptr : open_native(path, false));
  if (file_ == nullptr) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: cannot be read: %s", name_.c_str(),
                error ? error.message().c_str() : std::strerror(errno));
  }
  return PTTS_OK;
}

ptts_status File::read(std::span<uint8_t> room, size_t* got) {
  *got = std::fread(room.data(), 1, room.size(), file_.get());
  if (*got < room.size() && std::ferror(file_.get()) != 0) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: cannot be read to its end", name_.c_str());
  }
  return PTTS_OK;
}

ptts_status File::read_all(uint64_t limit, Bytes* bytes) {
  if (size_ > limit) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected at most %llu bytes, found %llu", name_.c_str(),
                static_cast<unsigned long long>(limit), static_cast<unsigned long long>(size_));
  }
  bytes->resize(static_cast<size_t>(size_) + 1);  // one more, to see a file that grew
  size_t got = 0;
  PTTS_TRY(read(*bytes, &got));
  if (got != size_) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: it changed while it was read", name_.c_str());
  }
  bytes->resize(got);
  return PTTS_OK;
}

ptts_status resolve_inside(const Path& folder, std::string_view path, Path* found) {
  const Path whole = folder / path_of(path);
  std::error_code error;
  const Path root = fs::canonical(folder, error);
  *found = error ? Path() : fs::canonical(whole, error);
  if (error) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected a file, found none", show(whole).c_str());
  }
  const auto ends = std::mismatch(root.begin(), root.end(), found->begin(), found->end());
  if (ends.first != root.end()) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: leads out of the pack", show(whole).c_str());
  }
  return PTTS_OK;
}

ptts_status write_file(const Path& path, std::span<const uint8_t> bytes) {
  static std::atomic<unsigned> serial{std::random_device{}()};
  Path beside = path;
  beside += "." + std::to_string(serial++) + ".part";
  std::error_code error;
  // A device, or a link to one, would be taken away by what is moved to its place.
  const fs::file_status there = fs::status(path, error);
  if (fs::exists(there) && !fs::is_regular_file(there)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected a plain file or none, found %s", show(path).c_str(),
                kind_of(there.type()));
  }
  error.clear();
  std::FILE* file = open_native(beside, true);
  int reason = file == nullptr ? errno : 0;
  if (file != nullptr) {
    bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    written = std::fflush(file) == 0 && written;
    if (!written) reason = errno;
    if (std::fclose(file) != 0 && reason == 0) reason = errno;
    if (reason == 0) fs::rename(beside, path, error);
    if (reason != 0 || error) {
      std::error_code ignored;
      fs::remove(beside, ignored);
    }
  }
  if (reason != 0 || error) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: cannot be written: %s", show(path).c_str(),
                reason != 0 ? std::strerror(reason) : error.message().c_str());
  }
  return PTTS_OK;
}

}  // namespace ptts::capi

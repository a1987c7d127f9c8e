// Memory that may be refused: weights, caches and activations live in Buffers, so that running out of it is a status
// and not a trap.  Small bookkeeping (names, plans) uses the standard containers.
#ifndef PTTS_BUFFER_H_
#define PTTS_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "per_thread.h"
#include "status.h"

namespace ptts {

// What all Buffers hold right now.  (For each thread, it is what it took less what it gave back.)
inline PTTS_PER_THREAD uint64_t allocated_bytes = 0;

// An array of plain values on the heap.  Move-only.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  // `count` zeros; what was there is gone.  `what` names the purpose in the message.
  [[nodiscard]] ptts_status allocate(size_t count, const char* what) {
    return take(count, what, [&] { return std::calloc(count, sizeof(T)); });
  }

  // `count` values of which none is set: those that are never written cost no memory of the machine.
  [[nodiscard]] ptts_status allocate_unset(size_t count, const char* what) {
    return take(count, what, [&] { return std::malloc(count * sizeof(T)); });
  }

  // Room for at least `count` values; keeps the old ones.
  [[nodiscard]] ptts_status grow(size_t count, const char* what) {
    if (count <= size_) return PTTS_OK;
    Buffer larger;
    PTTS_TRY(larger.allocate(count, what));
    if (size_ > 0) std::memcpy(larger.data_, data_, size_ * sizeof(T));
    *this = std::move(larger);
    return PTTS_OK;
  }

  void release() {
    std::free(data_);
    allocated_bytes -= size_ * sizeof(T);
    data_ = nullptr;
    size_ = 0;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  template <typename Get>
  ptts_status take(size_t count, const char* what, Get get) {
    release();
    if (count == 0) return PTTS_OK;
    T* fresh = count > kMaxBytes / sizeof(T) ? nullptr : static_cast<T*>(get());
    if (fresh == nullptr) {
      return fail(PTTS_ERROR_MEMORY, "%s: %llu bytes could not be had", what,
                  static_cast<unsigned long long>(count) * sizeof(T));
    }
    data_ = fresh;
    size_ = count;
    allocated_bytes += count * sizeof(T);
    return PTTS_OK;
  }

  static constexpr uint64_t kMaxBytes = sizeof(void*) == 4 ? 0xC0000000ull : uint64_t{1} << 40;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ptts

#endif

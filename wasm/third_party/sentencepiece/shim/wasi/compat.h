// Force-included for WASI, whose libc++ is built without threads: the few names of <mutex>, <thread> and the atomic
// shared_ptr functions that sentencepiece mentions.  There is one thread, so a lock is nothing.
#pragma once
#ifdef __cplusplus
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#if defined(__wasi__) && (defined(_LIBCPP_HAS_NO_THREADS) || (defined(_LIBCPP_HAS_THREADS) && !_LIBCPP_HAS_THREADS))
namespace std {
struct mutex {
  void lock() {}
  void unlock() {}
  bool try_lock() { return true; }
};
struct thread {
  struct id {
    int value = 0;
    friend bool operator==(id a, id b) { return a.value == b.value; }
  };
  template <class F>
  explicit thread(F&& f) {
    f();
  }
  void join() {}
};
namespace this_thread {
inline thread::id get_id() { return thread::id{1}; }
}  // namespace this_thread
template <class T>
shared_ptr<T> atomic_load(const shared_ptr<T>* p) {
  return *p;
}
template <class T>
void atomic_store(shared_ptr<T>* p, shared_ptr<T> value) {
  *p = std::move(value);
}
}  // namespace std
#endif
#endif

// What a C++ runtime without exceptions does not bring.  A throw ends the instance; the engine checks a model file
// before it hands it over, so that none happens.
#include <cstddef>
#include <cstdlib>

extern "C" {
void __cxa_throw(void*, void*, void (*)(void*)) { abort(); }
#if defined(__wasi__)
void* __cxa_allocate_exception(size_t) { abort(); }
int __cxa_thread_atexit(void (*)(void*), void*, void*) { return 0; }
#endif
}

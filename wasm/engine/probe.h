// Recordings of activations, for parity tests: the counterpart of the reference's forward hooks.  Off by default;
// then every call is one comparison.
#ifndef PTTS_PROBE_H_
#define PTTS_PROBE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "buffer.h"

namespace ptts::probe {

extern bool on;

// A recording of its own.
void record(const char* name, const float* data, std::initializer_list<size_t> shape);
// Rows of channels [t][c]; stored as [c, t].  `append` adds them in time to the last recording of that name.
void record_rows(const char* name, const float* data, size_t t, size_t c, bool append);

}  // namespace ptts::probe

#endif

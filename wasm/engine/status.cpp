// The table of statuses and the message of the last failure.
#include "status.h"

#include <cstdarg>
#include <cstdio>

#include "per_thread.h"

namespace ptts {

namespace {
PTTS_PER_THREAD char message[1024];
}  // namespace

ptts_status fail(ptts_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  return status;
}

const char* last_message() { return message; }

}  // namespace ptts

extern "C" const char* ptts_message(void) { return ptts::last_message(); }

extern "C" const char* ptts_status_name(ptts_status status) {
  switch (status) {
#define PTTS_CASE(name) \
  case name: return #name
    PTTS_CASE(PTTS_OK);
    PTTS_CASE(PTTS_CHUNK_END);
    PTTS_CASE(PTTS_DONE);
    PTTS_CASE(PTTS_ERROR_ARGUMENT);
    PTTS_CASE(PTTS_ERROR_HANDLE);
    PTTS_CASE(PTTS_ERROR_STATE);
    PTTS_CASE(PTTS_ERROR_CONFIG);
    PTTS_CASE(PTTS_ERROR_WEIGHTS);
    PTTS_CASE(PTTS_ERROR_TOKENIZER);
    PTTS_CASE(PTTS_ERROR_VOICE);
    PTTS_CASE(PTTS_ERROR_AUDIO);
    PTTS_CASE(PTTS_ERROR_CLONING);
    PTTS_CASE(PTTS_ERROR_TEXT_EMPTY);
    PTTS_CASE(PTTS_ERROR_TEXT_ENCODING);
    PTTS_CASE(PTTS_ERROR_TEXT_TOO_LONG);
    PTTS_CASE(PTTS_ERROR_MEMORY);
    PTTS_CASE(PTTS_ERROR_NUMERIC);
#undef PTTS_CASE
    default: return "PTTS_UNKNOWN";
  }
}

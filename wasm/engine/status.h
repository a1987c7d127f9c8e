// How the engine says no: a status and one sentence that names the field, what was expected and what was found.
#ifndef PTTS_STATUS_H_
#define PTTS_STATUS_H_

#include "pocket_tts.h"

namespace ptts {

// Keeps the message for ptts_message() and returns `status`:  return fail(PTTS_ERROR_CONFIG, "...", ...);
[[nodiscard, gnu::cold, gnu::format(printf, 2, 3)]] ptts_status fail(ptts_status status, const char* format,
                                                                     ...);

// The message of the last fail().
const char* last_message();

}  // namespace ptts

// Hands an error up; any non-negative status goes on.
#define PTTS_TRY(expression)                                                                              \
  do {                                                                                                    \
    if (const ptts_status ptts_try_status_ = (expression); ptts_try_status_ < 0) return ptts_try_status_; \
  } while (0)

#endif

// An owned yyjson document.
#ifndef PTTS_JSON_H_
#define PTTS_JSON_H_

#include <memory>

#include "yyjson.h"

namespace ptts {

struct FreeJson {
  void operator()(yyjson_doc* document) const { yyjson_doc_free(document); }
};
using JsonDocument = std::unique_ptr<yyjson_doc, FreeJson>;

}  // namespace ptts

#endif

// Numbers for objects: a slot and a generation, so that a closed or invented handle is recognised instead of followed.
#ifndef PTTS_HANDLES_H_
#define PTTS_HANDLES_H_

#include <memory>
#include <vector>

#include "status.h"

namespace ptts {

enum class HandleKind : uint8_t { kFree, kPack, kModel, kVoice, kSession, kCodec, kExport, kStretch };
const char* handle_kind_name(HandleKind kind);

class HandleTable {
 public:
  [[nodiscard]] ptts_status add(HandleKind kind, std::shared_ptr<void> object, ptts_handle* handle);
  [[nodiscard]] ptts_status get(ptts_handle handle, HandleKind kind, std::shared_ptr<void>* object) const;
  [[nodiscard]] ptts_status close(ptts_handle handle);

 private:
  struct Entry {
    HandleKind kind = HandleKind::kFree;
    uint32_t generation = 0;
    std::shared_ptr<void> object;
  };
  [[nodiscard]] ptts_status find(ptts_handle handle, const Entry** entry) const;
  std::vector<Entry> entries_;
};

}  // namespace ptts

#endif

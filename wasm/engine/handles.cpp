// The table of open objects.
#include "handles.h"

namespace ptts {

namespace {
// A handle is slot + 1 in the low bits and the slot's generation above them; so 0 is never one.
constexpr uint32_t kSlotBits = 20, kSlotMask = (1u << kSlotBits) - 1,
                   kGenerationMask = (1u << (32 - kSlotBits)) - 1;
}  // namespace

const char* handle_kind_name(HandleKind kind) {
  switch (kind) {
    case HandleKind::kFree: return "closed object";
    case HandleKind::kPack: return "pack";
    case HandleKind::kModel: return "model";
    case HandleKind::kVoice: return "voice";
    case HandleKind::kSession: return "session";
    case HandleKind::kCodec: return "codec";
    case HandleKind::kExport: return "export";
    case HandleKind::kStretch: return "stretch";
  }
  return "object";
}

ptts_status HandleTable::add(HandleKind kind, std::shared_ptr<void> object, ptts_handle* handle) {
  size_t slot = 0;
  while (slot < entries_.size() && entries_[slot].kind != HandleKind::kFree) ++slot;
  if (slot == kSlotMask) return fail(PTTS_ERROR_MEMORY, "too many open objects: %zu", slot);
  if (slot == entries_.size()) entries_.emplace_back();
  Entry& entry = entries_[slot];
  entry.kind = kind;
  entry.object = std::move(object);
  *handle = (entry.generation & kGenerationMask) << kSlotBits | static_cast<uint32_t>(slot + 1);
  return PTTS_OK;
}

ptts_status HandleTable::find(ptts_handle handle, const Entry** entry) const {
  const size_t slot = (handle & kSlotMask) - size_t{1};
  if ((handle & kSlotMask) == 0 || slot >= entries_.size() ||
      (entries_[slot].generation & kGenerationMask) != handle >> kSlotBits ||
      entries_[slot].kind == HandleKind::kFree) {
    return fail(PTTS_ERROR_HANDLE, "handle %u: closed, or never opened", handle);
  }
  *entry = &entries_[slot];
  return PTTS_OK;
}

ptts_status HandleTable::get(ptts_handle handle, HandleKind kind, std::shared_ptr<void>* object) const {
  const Entry* entry = nullptr;
  PTTS_TRY(find(handle, &entry));
  if (entry->kind != kind) {
    return fail(PTTS_ERROR_HANDLE, "handle %u: expected a %s, found a %s", handle, handle_kind_name(kind),
                handle_kind_name(entry->kind));
  }
  *object = entry->object;
  return PTTS_OK;
}

ptts_status HandleTable::close(ptts_handle handle) {
  const Entry* found = nullptr;
  PTTS_TRY(find(handle, &found));
  Entry& entry = entries_[(handle & kSlotMask) - 1];
  entry.kind = HandleKind::kFree;
  ++entry.generation;
  entry.object.reset();
  return PTTS_OK;
}

}  // namespace ptts

// What stands behind the handles: a model with its options, one call at a time; and a voice.
#ifndef PTTS_CAPI_INSTANCE_H_
#define PTTS_CAPI_INSTANCE_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "load.h"
#include "session.h"
#include "voice.h"

namespace ptts::capi {

// 30 s, as where the reference cuts what is uploaded.
inline constexpr uint32_t kReferenceSeconds = 30;
inline constexpr int kReferenceMinutes = 30;  // refused from here on, cut or not

struct VoiceBox {
  std::shared_ptr<const Voice> voice;
  std::string model;  // Loaded::identity
};

// The last voices by the hash of their files.  A voice of 30 s of the largest models takes up to 75 MB.
class VoiceCache {
 public:
  std::shared_ptr<const Voice> find(std::string_view hash);
  void keep(std::string hash, std::shared_ptr<const Voice> voice);

 private:
  static constexpr size_t kMost = 4;
  struct Entry {
    std::string hash;
    std::shared_ptr<const Voice> voice;
  };
  std::list<Entry> entries_;  // the last one used first
};

class Instance {
 public:
  Instance(Loaded loaded, const ptts_options& options, uint32_t max_frames)
      : loaded_(std::move(loaded)), options_(options), max_frames_(max_frames) {}

  // Takes the samples of a frame, none where one is passed over; PTTS_DONE to end.
  using OnFrame = std::function<ptts_status(std::span<const float>)>;

  [[nodiscard]] ptts_status voice_from_source(std::string_view source, VoiceBox* box);
  [[nodiscard]] ptts_status voice_from_samples(std::span<const float> samples, uint32_t rate, VoiceBox* box);
  [[nodiscard]] ptts_status speak(std::string_view text, const VoiceBox& voice, const OnFrame& on_frame);
  [[nodiscard]] ptts_status stream(std::string_view text, const VoiceBox& voice, size_t frames_per_piece,
                                   const std::function<void(std::span<const float>, bool)>& callback);

  void cancel() { cancelled_ = true; }
  const Loaded& loaded() const { return loaded_; }

  // A turn: the instance is this thread's alone while it lives.  From a callback there is none to be had.
  class Turn {
   public:
    explicit Turn(Instance* instance);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ptts_status status() const { return status_; }

   private:
    Instance* instance_;
    ptts_status status_;
  };

 private:
  [[nodiscard]] ptts_status load_file(const Path& path, const VoiceSource* promised, VoiceBox* box);
  [[nodiscard]] ptts_status encode(std::span<const float> samples, uint32_t rate, Voice* voice) const;

  const Loaded loaded_;
  const ptts_options options_;
  const uint32_t max_frames_;  // of a chunk; 0: the model's limit alone
  std::atomic<bool> cancelled_{false};

  std::mutex turn_;
  std::atomic<std::thread::id> whose_{};
  VoiceCache voices_;  // in a turn
};

}  // namespace ptts::capi

#endif

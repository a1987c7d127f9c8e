// The inference loop: a text, a voice and options become latents, one step at a time.
//
//   for each chunk:  state = the voice;  feed the ids;  draw once and throw it away
//     for step in 0 .. max_frames-1:  feed the last latent (first: BOS);  EOS?;  draw;  sample
//       the end is the first step >= 6 whose logit is above the threshold; frames_after_eos steps later the chunk
//       stops, without that step's latent
#ifndef PTTS_SESSION_H_
#define PTTS_SESSION_H_

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model.h"
#include "rng.h"
#include "text.h"
#include "voice.h"

namespace ptts {

// Chunks that take their steps together, at most.
inline constexpr size_t kMaxLanes = 16;

class Session {
 public:
  // The model and the voice stay shared with the caller.
  [[nodiscard]] ptts_status open(std::shared_ptr<const Model> model, std::shared_ptr<const Voice> voice,
                                 std::string_view text, const ptts_options& options);
  [[nodiscard]] ptts_status seek(size_t chunk);
  // PTTS_OK with a latent, PTTS_CHUNK_END, PTTS_DONE or an error.  `previous` and `noise`: see pocket_tts.h.
  ptts_status step(const float* previous, const float* noise, bool forced, float* latent, ptts_event* event);
  // A step of up to `most` chunks, of which one may begin; see ptts_session_step_many.
  ptts_status step_many(size_t most, uint32_t begin, float* latents, ptts_event* events,
                        ptts_status* statuses, size_t* count);

  const std::vector<Chunk>& chunks() const { return chunks_; }
  int frames_after_eos(const Chunk& chunk) const;

 private:
  // Room for a chunk that is being spoken, on the stream of the same number.
  struct Lane {
    Buffer<float> latent;  // the last one
    Generator generator{0};
    size_t chunk = 0, step = 0;
    bool busy = false;
    bool ended = false;   // the end of this chunk was found,
    size_t end_step = 0;  // at this step
  };
  [[nodiscard]] ptts_status add_lane(size_t positions);
  size_t positions_of(const Chunk& chunk) const {
    return voice_->positions + chunk.ids.size() + chunk.max_frames;
  }
  [[nodiscard]] ptts_status begin_chunk(size_t lane, size_t chunk, bool forced);
  [[nodiscard]] ptts_status draw(Lane& lane);
  void say(const Lane& lane, ptts_event* event) const;
  ptts_status end_chunk(Lane& lane, bool truncated, ptts_event* event);
  // Lanes of which none is at its length limit go on by a step: their statuses, events and latents.
  struct Result {
    ptts_event* event;
    float* latent;
    ptts_status status;
  };
  void advance(std::span<const size_t> lanes, const float* previous, const float* noise, bool forced,
               std::span<Result> results);
  ptts_status finish_step(Lane& lane, const float* sampled, float eos_logit, bool forced, Result& result);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Voice> voice_;
  ptts_options options_ = {};
  std::vector<Chunk> chunks_;
  FlowLmStreams streams_;
  std::vector<Lane> lanes_;
  Buffer<float> baked_times_, sampled_;  // sampled_: a row for each lane
  size_t next_ = 0;                      // chunk that step() begins
  size_t longest_ = 0;                   // positions that the longest chunk needs
};

// The defaults of a model, and whether options can be used with it.
ptts_options default_options(const Config& config);
[[nodiscard]] ptts_status check_options(const ptts_options& options);

// One evaluation of the flow net, for parity tests; see ptts_flow_velocity.
[[nodiscard]] ptts_status flow_velocity(const Model& model, const float* condition, const float* times,
                                        const float* x, float* velocity);

}  // namespace ptts

#endif

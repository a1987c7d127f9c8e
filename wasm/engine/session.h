// The inference loop: a text, a voice and options become latents, one step at a time.
//
//   for each chunk:  state = the voice;  feed the ids;  draw once and throw it away
//     for step in 0 .. max_frames-1:  feed the last latent (first: BOS);  EOS?;  draw;  sample
//       the end is the first step >= 6 whose logit is above the threshold; frames_after_eos steps later the chunk
//       stops, without that step's latent
#ifndef PTTS_SESSION_H_
#define PTTS_SESSION_H_

#include <memory>
#include <string_view>
#include <vector>

#include "model.h"
#include "rng.h"
#include "text.h"
#include "voice.h"

namespace ptts {

class Session {
 public:
  // The model and the voice stay shared with the caller.
  [[nodiscard]] ptts_status open(std::shared_ptr<const Model> model, std::shared_ptr<const Voice> voice,
                                 std::string_view text, const ptts_options& options);
  [[nodiscard]] ptts_status seek(size_t chunk);
  // PTTS_OK with a latent, PTTS_CHUNK_END, PTTS_DONE or an error.  `previous` and `noise`: see pocket_tts.h.
  ptts_status step(const float* previous, const float* noise, bool forced, float* latent, ptts_event* event);

  const std::vector<Chunk>& chunks() const { return chunks_; }
  int frames_after_eos(const Chunk& chunk) const;

 private:
  [[nodiscard]] ptts_status begin_chunk(bool forced);
  [[nodiscard]] ptts_status draw(float* out);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Voice> voice_;
  ptts_options options_ = {};
  std::vector<Chunk> chunks_;
  FlowLmStream stream_;
  Buffer<float> baked_times_, latent_;
  Generator generator_{0};
  size_t chunk_ = 0, step_ = 0;
  bool in_chunk_ = false;
  bool ended_ = false;   // the end of this chunk was found,
  size_t end_step_ = 0;  // at this step
};

// The defaults of a model, and whether options can be used with it.
ptts_options default_options(const Config& config);
[[nodiscard]] ptts_status check_options(const ptts_options& options);

// One evaluation of the flow net, for parity tests; see ptts_flow_velocity.
[[nodiscard]] ptts_status flow_velocity(const Model& model, const float* condition, const float* times,
                                        const float* x, float* velocity);

}  // namespace ptts

#endif

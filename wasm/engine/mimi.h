// Mimi: latents to sound, and sound to latents.
//
// decoder: latent * emb_std + emb_mean -> quantizer.output_proj -> depth-wise transposed conv (x16) -> transformer -> SEANet
// encoder: SEANet -> transformer -> strided conv (/16), whose context starts with its first row repeated
#ifndef PTTS_MIMI_H_
#define PTTS_MIMI_H_

#include "config.h"
#include "conv.h"
#include "seanet.h"
#include "transformer.h"

namespace ptts {

// A Mimi transformer with its projections, where the widths differ.
struct ProjectedTransformer {
  Transformer transformer;
  Matrix input_proj, output_proj;  // unused (n() == 0) when the widths agree
  bool projects() const { return input_proj.n() > 0 || output_proj.n() > 0; }
};

struct MimiDecoder {
  Buffer<float> emb_std, emb_mean;  // [latent]
  Matrix quantizer;                 // [outer_dim][latent]
  Buffer<float> upsample;           // [2 * upsampling][outer_dim]
  ProjectedTransformer transformer;
  Seanet seanet;
  size_t upsampling = 0, samples_per_frame = 0;
};

struct MimiEncoder {
  Seanet seanet;
  ProjectedTransformer transformer;
  Conv1d downsample;
  size_t samples_per_frame = 0, rows_per_frame = 0;  // transformer rows
  bool silent = false;  // all SEANet weights zero: the public weights, which cannot encode
};

// One stream through the decoder.
class Codec {
 public:
  [[nodiscard]] ptts_status open(const MimiDecoder& mimi);
  void reset();
  void set_fade(bool on) { fade_ = on; }
  // Frames that the transformer and the first convolutions take together, so that their weights come from memory once.  With
  // four nothing became faster, and they took 1 MB more.
  static constexpr size_t kBlock = 2;
  // `count` latents -> samples_per_frame samples each: those of single frames.
  void decode(const float* latents, size_t count, float* pcm);

 private:
  void decode_block(const float* latents, size_t count, float* pcm);
  void upsample(const float* latent, float* rows);
  const MimiDecoder* mimi_ = nullptr;
  Buffer<float> scaled_, quantized_, previous_, rows_, projected_;
  TransformerState state_;
  Transformer::Workspace workspace_;
  Seanet::State seanet_;
  size_t frames_ = 0;
  bool fade_ = true;
};

// Sound -> latents [frames][inner_dim].  `count` samples are padded with zeros to whole frames.
[[nodiscard]] ptts_status encode_audio(const MimiEncoder& mimi, const float* pcm, size_t count,
                                       Buffer<float>* latents, size_t* frames);

}  // namespace ptts

#endif

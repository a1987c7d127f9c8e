// The streaming transformer of FlowLM and Mimi:
//
//   x += scale_1 * out_proj(attention(norm1(x)))        scale_* (LayerScale) in Mimi only
//   x += scale_2 * linear2(gelu_tanh(linear1(norm2(x))))
//
// in_proj rows are [q: attn_dim][k: kv_dim][v: kv_dim]; RoPE turns neighbouring pairs of q and k by
// position * max_period^(-2i/head_dim); k is cached after it.  Query head h reads key/value head h / (heads / kv_heads).
// A position sees itself and the `context` - 1 before it, or all of them.
#ifndef PTTS_TRANSFORMER_H_
#define PTTS_TRANSFORMER_H_

#include <span>
#include <string>
#include <vector>

#include "config.h"
#include "kv_cache.h"
#include "matrix.h"

namespace ptts {

struct TransformerLayer {
  Matrix in_proj, out_proj, linear1, linear2;
  Buffer<float> norm1_weight, norm1_bias, norm2_weight, norm2_bias;
  Buffer<float> scale1, scale2;  // empty without LayerScale
};

// Where a stream stands.  `position` counts from the start; the caches hold the last `cached` positions.
struct TransformerState {
  std::vector<KvCache> layers;
  size_t position = 0, cached = 0, capacity = 0;
};

class Transformer {
 public:
  TransformerConfig config;
  std::vector<TransformerLayer> layers;

  // The rotation frequencies; after `config` is set.
  [[nodiscard]] ptts_status prepare();

  // A state at position 0.  With a context, room for it and blocks of `rows`; else for `capacity` positions.
  [[nodiscard]] ptts_status create_state(size_t capacity, size_t rows, TransformerState* state) const;
  // Positions of a cache with a context, of which a multiple of 4 is forgotten when it is full.
  static size_t window(const TransformerConfig& config, size_t rows) { return config.context + rows + 2; }

  // Activations for blocks of up to `rows` rows.
  struct Workspace {
    Buffer<float> normed;
    Buffer<float>
        wide;  // of attention: projections, then what it gives; of the feed-forward: between its layers
    Buffer<float> rotation;  // [rows][head_dim]: cosine and sine of each pair
    Scratch scratch;
    size_t rows = 0;
  };
  [[nodiscard]] ptts_status create_workspace(size_t rows, Workspace* workspace) const;

  // Makes room for more positions; keeps what is cached.
  [[nodiscard]] ptts_status grow_state(size_t capacity, TransformerState* state) const;

  // x: `rows` rows of d_model, in place.  Refuses nothing: the caller keeps within what was reserved.
  // `probe_layers` records the last row after each layer as "layer.i".
  void forward(float* x, size_t rows, TransformerState& state, Workspace& workspace,
               bool probe_layers) const {
    TransformerState* one = &state;
    run(x, rows, {&one, 1}, workspace, probe_layers, false);
  }
  // One row of each stream: the weights come from memory once for all of them, the results are those of single streams.
  void forward(float* x, std::span<TransformerState* const> streams, Workspace& workspace) const {
    run(x, 1, streams, workspace, false, false);
  }
  // Only what later positions see of these rows: in the last layer their keys and values, nothing else.  x is used up.
  void fill_cache(float* x, size_t rows, TransformerState& state, Workspace& workspace) const {
    TransformerState* one = &state;
    run(x, rows, {&one, 1}, workspace, false, true);
  }

 private:
  using Streams = std::span<TransformerState* const>;
  // `each` rows of every stream, stream by stream.
  void run(float* x, size_t each, Streams streams, Workspace& workspace, bool probe_layers,
           bool cache_only) const;
  // The projections of the normed rows, turned; their keys and values go into the caches.
  void project(size_t layer, size_t each, Streams streams, Workspace& workspace, bool queries) const;
  void attend(size_t layer, size_t each, Streams streams, Workspace& workspace) const;
  Buffer<float> frequencies_;  // [head_dim / 2]
};

// Records a cache's first `positions` as [2, positions, kv_heads, head_dim].
void record_cache(const char* name, const KvCache& cache, size_t positions, const TransformerConfig& config);

}  // namespace ptts

#endif

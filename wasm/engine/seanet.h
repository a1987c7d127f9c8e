// SEANet: the convolutional ends of Mimi.  A list of layers, as in the reference (its indices are the tensors' names):
//
//   decoder: conv, then for each ratio [ELU, transposed conv, residual blocks], ELU, conv to one channel
//   encoder: conv, then for each ratio (reversed) [residual blocks, ELU, strided conv], ELU, conv to `dimension`
//
// Residual block: x + conv_1(ELU(conv_k(ELU(x)))), the inner width is `compress` times smaller.
#ifndef PTTS_SEANET_H_
#define PTTS_SEANET_H_

#include <vector>

#include "config.h"
#include "conv.h"

namespace ptts {

class Seanet {
 public:
  enum class Kind { kConv, kConvTranspose, kResidual, kElu };
  struct Layer {
    Kind kind;
    Conv1d conv, conv2;  // kResidual: the two of the block
    ConvTranspose1d convtr;
  };
  std::vector<Layer> layers;

  // Lays out the layers (without memory for weights: the pack's plan does that).
  void build(const SeanetConfig& config, bool decoder);

  struct State {
    struct PerLayer {
      Conv1d::State conv, conv2;
      ConvTranspose1d::State convtr;
      Buffer<float> out;  // of this layer
    };
    std::vector<PerLayer> layers;
    ConvScratch scratch;
    Buffer<float> inner;  // between the two convolutions of a residual block
    // The first layers, which hold most of the weights, take all blocks of a run one after the other: other work on the machine
    // drives weights out of the caches between two frames.
    size_t together = 0;  // how many
    // The last transposed convolution and what follows take the block in pieces whose activations stay in the cache.
    size_t split = 0, piece = 0;  // first layer of that kind (none: their number), its input rows in a piece
  };
  // For runs of up to `blocks` blocks of `rows` input rows.
  [[nodiscard]] ptts_status create_state(size_t rows, size_t blocks, State* state) const;
  void reset(State& state) const;

  // x: [blocks][rows][channels] -> out, the last layer's rows of each block.  `probe`: prefix to record under, or null.  The
  // samples do not depend on how blocks are spread over runs.
  void run(State& state, const float* x, size_t rows, size_t blocks, float* out, const char* probe) const;

  size_t input_width() const { return layers.front().conv.in; }
  size_t output_width() const { return layers.back().conv.out; }

 private:
  // Layers [begin, end) on a block or a piece of one; *rows becomes the number of rows of the result.  `place`: which block of
  // the layer's output it is.
  float* pass(State& state, size_t begin, size_t end, float* x, size_t* rows, size_t place, const char* probe,
              bool append) const;
  size_t width_before(size_t layer) const;
};

}  // namespace ptts

#endif

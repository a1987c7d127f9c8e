// Speech at another speed with its pitch kept (Signalsmith Stretch).
//
//   write() -> input --outputSeek, once--> library --blocks of one interval--> output -> read()
//
// The library is called with the same blocks however the samples come and go: block n takes the input up to
// floor((n + 1) * interval * speed) beyond what the start looked ahead. So grouping changes no bit.
#ifndef PTTS_STRETCH_H_
#define PTTS_STRETCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "status.h"

namespace ptts {

class Stretch {
 public:
  Stretch();
  ~Stretch();

  [[nodiscard]] ptts_status open(uint32_t sample_rate, float speed);
  [[nodiscard]] ptts_status write(std::span<const float> samples);
  void end() { ended_ = true; }
  // How many samples were written: 0 when more input is needed, or at the end.
  size_t read(std::span<float> out);

 private:
  struct Library;
  bool produce();
  size_t wanted() const;
  const float* input_at(size_t position, size_t count);
  void drop_input(size_t position);

  std::unique_ptr<Library> library_;  // none at speed 1
  double speed_ = 1;
  size_t interval_ = 0;   // samples of a block of output
  size_t lookahead_ = 0;  // samples of input that the start takes
  bool started_ = false, ended_ = false;
  size_t blocks_ = 0;
  std::vector<float> input_;  // from input_begin_ of the whole on
  size_t input_begin_ = 0, input_end_ = 0;
  std::vector<float> output_;
  size_t output_read_ = 0;   // of output_
  size_t output_total_ = 0;  // read so far
};

}  // namespace ptts

#endif

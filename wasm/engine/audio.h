// Audio on its way to becoming a voice:  WAV bytes -> mono samples -> 24 kHz -> ends on a pause.
//
//   wav_read        RIFF WAV in memory; integers of 8, 16, 24, 32 bits, floats of 32 and 64; channels are averaged
//   resample        the reference's polyphase filter (scipy.signal.resample_poly with its default window)
//   end_on_pause    cuts the trailing silence, fades the last 20 ms out, appends 80 ms of zeros
//
// Everything refuses with PTTS_ERROR_AUDIO what is broken, not a number or too long, before it allocates for it.
#ifndef PTTS_AUDIO_H_
#define PTTS_AUDIO_H_

#include <cstddef>
#include <cstdint>

#include "buffer.h"

namespace ptts {

inline constexpr uint32_t kMinSampleRate = 1000;
inline constexpr uint32_t kMaxSampleRate = 768000;
inline constexpr double kMaxAudioSeconds = 30.0 * 60.0;
// No buffer of samples grows beyond 200 MB (20 minutes at 41 kHz, 30 minutes at 24 kHz).
inline constexpr uint64_t kMaxSamples = 50'000'000;

// The samples of a WAV file, channels averaged. `max_seconds` > 0 reads only the beginning; without it a file longer
// than kMaxAudioSeconds is refused. Sizes that streams write because they do not know better (0xFFFFFFFF, or anything
// from 2,000,000,000 on that the file does not hold) mean "to the end"; every other size is held to its word.
[[nodiscard]] ptts_status wav_read(const void* data, size_t length, double max_seconds,
                                   Buffer<float>* samples, uint32_t* sample_rate);

// ceil(count * to_rate / from_rate) samples; equal rates copy.
[[nodiscard]] ptts_status resample(const float* samples, size_t count, uint32_t from_rate, uint32_t to_rate,
                                   Buffer<float>* out);

// For 24 kHz. Frames of 20 ms (whole ones only) within 35 dB of the loudest are loud; the audio ends with the last
// loud one. Less than one frame: a copy.
[[nodiscard]] ptts_status end_on_pause(const float* samples, size_t count, Buffer<float>* out);

// Refuses NaN and infinity, naming the first bad sample.
[[nodiscard]] ptts_status check_samples(const float* samples, size_t count);

// Element `i` of torch.linspace(start, end, steps) in float32, which counts from the nearer end.
float linspace_at(float start, float end, size_t steps, size_t i);

}  // namespace ptts
#endif

// The door for WASI hosts: the C ABI of engine/pocket_tts.h, exported one to one from a reactor module.
//
//   host                       guest
//   _initialize()          ->  constructors, once, before anything else
//   ptts_alloc(n)          ->  room for what the host wants to hand over
//   ptts_...(pointers)     ->  the engine
//
// The module imports nothing at all.  The C++ runtime would like to print (a failed check inside a library), to
// read the environment (locales) and to ask for entropy; the second half of this file answers those few system calls
// here, with "no", so that a host has nothing to grant and a sandbox nothing to guard.  What would have printed and exited traps instead.
#include "engine/pocket_tts.h"

// ---- exports ---------------------------------------------------------------------------------------------------
//
// One forwarding function each: an export_name on a mere declaration has no effect (clang 19), and exporting by a
// linker flag would move the list of the ABI into the build.
#define PTTS_EXPORT(result, name, parameters, arguments) \
  extern "C" __attribute__((export_name(#name))) result wasi_##name parameters { return name arguments; }

// clang-format off
PTTS_EXPORT(const char*, ptts_status_name, (ptts_status status), (status))
PTTS_EXPORT(const char*, ptts_message, (), ())
PTTS_EXPORT(const char*, ptts_version, (), ())
PTTS_EXPORT(uint64_t, ptts_allocated_bytes, (), ())
PTTS_EXPORT(ptts_status, ptts_close, (ptts_handle handle), (handle))
PTTS_EXPORT(void*, ptts_alloc, (size_t bytes), (bytes))
PTTS_EXPORT(void, ptts_free, (void* memory), (memory))

PTTS_EXPORT(ptts_status, ptts_pack_open, (const char* config_json, size_t length, uint32_t parts, uint32_t precision, ptts_handle* pack),
            (config_json, length, parts, precision, pack))
PTTS_EXPORT(ptts_status, ptts_pack_tokenizer, (ptts_handle pack, uint32_t kind, const void* data, size_t length), (pack, kind, data, length))
PTTS_EXPORT(ptts_status, ptts_pack_file, (ptts_handle pack, uint32_t kind, uint64_t total_bytes), (pack, kind, total_bytes))
PTTS_EXPORT(ptts_status, ptts_pack_feed, (ptts_handle pack, const void* data, size_t length), (pack, data, length))
PTTS_EXPORT(ptts_status, ptts_pack_close, (ptts_handle pack, ptts_handle* model), (pack, model))

PTTS_EXPORT(ptts_status, ptts_model_get_info, (ptts_handle model, ptts_model_info* info), (model, info))
PTTS_EXPORT(ptts_status, ptts_export_open, (ptts_handle model, uint32_t parts, ptts_handle* exported, uint64_t* total_bytes),
            (model, parts, exported, total_bytes))
PTTS_EXPORT(ptts_status, ptts_export_read, (ptts_handle exported, void* data, size_t capacity, size_t* written),
            (exported, data, capacity, written))
PTTS_EXPORT(ptts_status, ptts_tokenize, (ptts_handle model, const char* text, size_t length, int32_t* ids, size_t* count),
            (model, text, length, ids, count))
PTTS_EXPORT(ptts_status, ptts_detokenize, (ptts_handle model, const int32_t* ids, size_t count, char** text, size_t* length),
            (model, ids, count, text, length))
PTTS_EXPORT(ptts_status, ptts_prepare,
            (ptts_handle model, const char* text, size_t length, char** prepared, size_t* prepared_length, uint32_t* guess),
            (model, text, length, prepared, prepared_length, guess))

PTTS_EXPORT(ptts_status, ptts_voice_load, (ptts_handle model, const void* data, size_t length, ptts_handle* voice), (model, data, length, voice))
PTTS_EXPORT(ptts_status, ptts_voice_from_wav, (ptts_handle model, const void* data, size_t length, float max_seconds, ptts_handle* voice),
            (model, data, length, max_seconds, voice))
PTTS_EXPORT(ptts_status, ptts_voice_from_pcm, (ptts_handle model, const float* samples, size_t count, uint32_t sample_rate, ptts_handle* voice),
            (model, samples, count, sample_rate, voice))
PTTS_EXPORT(ptts_status, ptts_voice_length, (ptts_handle voice, uint32_t* positions), (voice, positions))
PTTS_EXPORT(ptts_status, ptts_voice_export, (ptts_handle voice, void** data, size_t* length), (voice, data, length))

PTTS_EXPORT(ptts_status, ptts_options_init, (ptts_handle model, ptts_options* options), (model, options))
PTTS_EXPORT(ptts_status, ptts_session_open,
            (ptts_handle model, ptts_handle voice, const char* text, size_t length, const ptts_options* options, ptts_handle* session),
            (model, voice, text, length, options, session))
PTTS_EXPORT(ptts_status, ptts_session_chunk_count, (ptts_handle session, uint32_t* count), (session, count))
PTTS_EXPORT(ptts_status, ptts_session_chunk, (ptts_handle session, uint32_t index, ptts_chunk* chunk), (session, index, chunk))
PTTS_EXPORT(ptts_status, ptts_session_chunk_text, (ptts_handle session, uint32_t index, uint32_t which, const char** text, size_t* length),
            (session, index, which, text, length))
PTTS_EXPORT(ptts_status, ptts_session_chunk_ids, (ptts_handle session, uint32_t index, const int32_t** ids, size_t* count),
            (session, index, ids, count))
PTTS_EXPORT(ptts_status, ptts_session_seek, (ptts_handle session, uint32_t chunk), (session, chunk))
PTTS_EXPORT(ptts_status, ptts_session_step, (ptts_handle session, float* latent, ptts_event* event), (session, latent, event))
PTTS_EXPORT(ptts_status, ptts_session_step_many,
            (ptts_handle session, uint32_t most, uint32_t begin, float* latents, ptts_event* events, ptts_status* statuses, uint32_t* count),
            (session, most, begin, latents, events, statuses, count))
PTTS_EXPORT(ptts_status, ptts_session_step_forced,
            (ptts_handle session, const float* previous, const float* noise, float* latent, ptts_event* event),
            (session, previous, noise, latent, event))
PTTS_EXPORT(ptts_status, ptts_flow_velocity, (ptts_handle model, const float* condition, const float* times, const float* x, float* velocity),
            (model, condition, times, x, velocity))

PTTS_EXPORT(ptts_status, ptts_codec_open, (ptts_handle model, ptts_handle* codec), (model, codec))
PTTS_EXPORT(ptts_status, ptts_codec_reset, (ptts_handle codec), (codec))
PTTS_EXPORT(ptts_status, ptts_codec_decode, (ptts_handle codec, const float* latents, size_t count, float* pcm), (codec, latents, count, pcm))
PTTS_EXPORT(ptts_status, ptts_codec_fade, (ptts_handle codec, uint32_t on), (codec, on))

PTTS_EXPORT(ptts_status, ptts_stretch_open, (uint32_t sample_rate, float speed, ptts_handle* stretch), (sample_rate, speed, stretch))
PTTS_EXPORT(ptts_status, ptts_stretch_write, (ptts_handle stretch, const float* samples, size_t count), (stretch, samples, count))
PTTS_EXPORT(ptts_status, ptts_stretch_end, (ptts_handle stretch), (stretch))
PTTS_EXPORT(ptts_status, ptts_stretch_read, (ptts_handle stretch, float* samples, size_t capacity, size_t* written),
            (stretch, samples, capacity, written))

PTTS_EXPORT(ptts_status, ptts_probe, (uint32_t on), (on))
PTTS_EXPORT(ptts_status, ptts_probe_take, (void** data, size_t* length), (data, length))
PTTS_EXPORT(ptts_status, ptts_wav_read, (const void* data, size_t length, float** samples, size_t* count, uint32_t* sample_rate),
            (data, length, samples, count, sample_rate))
PTTS_EXPORT(ptts_status, ptts_resample,
            (const float* samples, size_t count, uint32_t from_rate, uint32_t to_rate, float** out, size_t* out_count),
            (samples, count, from_rate, to_rate, out, out_count))
PTTS_EXPORT(ptts_status, ptts_end_on_pause, (const float* samples, size_t count, float** out, size_t* out_count), (samples, count, out, out_count))
PTTS_EXPORT(ptts_status, ptts_normals, (uint64_t seed, float temperature, float noise_clamp, const uint32_t* widths, size_t draws, float* out),
            (seed, temperature, noise_clamp, widths, draws, out))
// clang-format on

// A host reads these structures out of linear memory field after field: there is no padding to know about.
static_assert(sizeof(void*) == 4 && sizeof(size_t) == 4);
static_assert(sizeof(ptts_model_info) == 10 * sizeof(uint32_t) + sizeof(uint64_t));
static_assert(sizeof(ptts_options) == sizeof(uint64_t) + 8 * sizeof(uint32_t));
static_assert(sizeof(ptts_event) == 5 * sizeof(uint32_t));
static_assert(sizeof(ptts_chunk) == 6 * sizeof(uint32_t));

// ---- system calls that stay inside -------------------------------------------------------------------------------
//
// The names under which wasi-libc declares its imports: a definition here wins over the import.
namespace {
constexpr int32_t kBadFile = 8;    // __WASI_ERRNO_BADF: no file is open, not even the standard ones
constexpr int32_t kNotThere = 52;  // __WASI_ERRNO_NOSYS
}  // namespace

extern "C" {
int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t, int32_t, int32_t, int32_t) { return kBadFile; }
int32_t __imported_wasi_snapshot_preview1_fd_read(int32_t, int32_t, int32_t, int32_t) { return kBadFile; }
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t, int64_t, int32_t, int32_t) { return kBadFile; }
int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t) { return kBadFile; }
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t, int32_t) { return kBadFile; }

// An empty environment.
int32_t __imported_wasi_snapshot_preview1_environ_sizes_get(uint32_t* count, uint32_t* bytes) {
  *count = *bytes = 0;
  return 0;
}
int32_t __imported_wasi_snapshot_preview1_environ_get(int32_t, int32_t) { return 0; }

// Linked in by the tokenizer library's sampling mode, which nothing here calls; the engine's only randomness is its
// own seeded generator.
int32_t __imported_wasi_snapshot_preview1_random_get(int32_t, int32_t) { return kNotThere; }

[[noreturn]] void __imported_wasi_snapshot_preview1_proc_exit(int32_t) { __builtin_trap(); }
}

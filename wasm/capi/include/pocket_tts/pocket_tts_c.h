/* Pocket TTS as a native library: a C interface for programs, and for languages that call C.
 *
 * Types, functions and their meaning are those of gudrob/pocket-tts.cpp, so that what was compiled against its header runs
 * with this library (wasm/capi/README.md says what behaves better).  What is ours stands at the end.
 *
 *   PocketTTSConfig config = {.models_dir = "models/starter"};          // a model: wasm/capi/README.md
 *   PocketTTSHandle tts = pocket_tts_create(&config);
 *   VoiceHandle voice = pocket_tts_encode_voice(tts, "slt");            // a voice of the pack, a voice file, a recording
 *   AudioResult speech;
 *   if (pocket_tts_generate(tts, "Hello there.", voice, &speech) != 0) puts(pocket_tts_get_last_error());
 *   else { use(speech.data, speech.sample_count); pocket_tts_free_audio(&speech); }
 *   pocket_tts_free_voice(voice);
 *   pocket_tts_destroy(tts);
 *
 * Rules.  Strings are UTF-8 and end with a zero.  Every function may be called from any thread: calls with one handle wait
 * for one another, handles run side by side.  A handle is destroyed, and a voice freed, when nobody uses it any more.  A
 * failure is told by the result and by pocket_tts_get_last_error(). */
#ifndef POCKET_TTS_C_H
#define POCKET_TTS_C_H

#include <stddef.h>
#include <stdint.h>

#if !defined(_WIN32)
#define POCKET_TTS_API __attribute__((visibility("default")))
#elif defined(POCKET_TTS_STATIC)
#define POCKET_TTS_API
#elif defined(POCKET_TTS_BUILDING_DLL)
#define POCKET_TTS_API __declspec(dllexport)
#else
#define POCKET_TTS_API __declspec(dllimport)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef void* PocketTTSHandle; /* a loaded model */
typedef void* VoiceHandle;

/* Reference files: a configuration (NAME.yaml, which models_dir may name itself), weights and tokenizer.  The
 * starter is the voice that is installed with the library. */
typedef struct {
  const char* models_dir;     /* folder: pack or reference files; NULL: "models/onnx", else the starter */
  const char* tokenizer_path; /* a file to take in place of the model's tokenizer; NULL: the model's */
  const char* precision;      /* "int8", "fp32" (also "q8", "q4", "f32"); NULL: the pack's, else "int8" */
  float temperature;          /* variance of the noise; 0 and less: the pack's, else 0.7 */
  int lsd_steps;              /* of the sampler, to 1000; 0 and less: 10 */
  int max_frames;             /* most frames (80 ms) of what is spoken in one go; 0 and less: 500 */
} PocketTTSConfig;

typedef struct {
  float* data; /* mono samples; may exceed 1 */
  int sample_count;
  int sample_rate; /* 24000 */
} AudioResult;

typedef struct {
  int chunk_size_frames; /* frames (80 ms) of a piece; 0 and less: 5 */
  void* user_data;       /* handed to the callback */
} StreamingConfig;

/* Takes a piece of sound: at most chunk_size_frames * 1920 samples, valid until it returns, `samples` never NULL.  is_final is 1
 * in the last call and only there, also after a cancellation; it may come without samples.  Of its own handle it may
 * only call pocket_tts_cancel_streaming. */
typedef void (*AudioChunkCallbackC)(const float* samples, int sample_count, int is_final, void* user_data);

/* Loads a model.  NULL config: the defaults.  NULL on error. */
POCKET_TTS_API PocketTTSHandle pocket_tts_create(const PocketTTSConfig* config);

/* NULL is allowed. */
POCKET_TTS_API void pocket_tts_destroy(PocketTTSHandle handle);

/* A voice: a .safetensors file, or a name (pocket_tts_list_voices), or a WAV file of which the first 30 s are
 * taken.  The last voices are kept by the content of their files.  NULL on error. */
POCKET_TTS_API VoiceHandle pocket_tts_encode_voice(PocketTTSHandle handle, const char* audio_path);

/* A voice from mono samples at 1000 to 768000 Hz, at most 30 min, of which the first 30 s are taken.  NULL on error. */
POCKET_TTS_API VoiceHandle pocket_tts_encode_voice_from_samples(PocketTTSHandle handle,
                                                                const float* audio_data, int sample_count,
                                                                int sample_rate);

/* NULL is allowed. */
POCKET_TTS_API void pocket_tts_free_voice(VoiceHandle voice);

/* Speaks a text whole.  0, or -1 and an empty result.  A voice works with every handle of the same model. */
POCKET_TTS_API int pocket_tts_generate(PocketTTSHandle handle, const char* text, VoiceHandle voice,
                                       AudioResult* result);

/* Frees the samples and clears the result; NULL, and clearing twice, are allowed. */
POCKET_TTS_API void pocket_tts_free_audio(AudioResult* result);

/* Speaks a text and hands over the same samples while they are made.  Returns their number, after a cancellation that of
 * those handed over, or -1.  NULL config: the defaults. */
POCKET_TTS_API int pocket_tts_generate_streaming(PocketTTSHandle handle, const char* text, VoiceHandle voice,
                                                 AudioChunkCallbackC callback, const StreamingConfig* config);

/* Ends the streaming call that is running with this handle, within a frame.  From any thread; also from the callback. */
POCKET_TTS_API void pocket_tts_cancel_streaming(PocketTTSHandle handle);

/* What the last failing call of this thread had to say, "" if none failed.  Valid until this thread's next call. */
POCKET_TTS_API const char* pocket_tts_get_last_error(void);

/* "MAJOR.MINOR.PATCH" */
POCKET_TTS_API const char* pocket_tts_version(void);

/* ---- ours --------------------------------------------------------------------------------------------------- */

enum {
  POCKET_TTS_FLAG_NO_CLONING = 1, /* leaves out what makes voices from recordings */
  POCKET_TTS_FLAG_TORCH_RNG = 2 /* one sequence of random numbers for a whole text, as the reference has it */
};

/* Fill it in with pocket_tts_config_ex_init first: 0 means 0 here. */
typedef struct {
  size_t struct_size;     /* of the header that the caller was compiled with */
  const char* models_dir; /* these three as above */
  const char* tokenizer_path;
  const char* precision;
  const char* language;   /* the model is this folder of models_dir; NULL: models_dir itself */
  const char* voices_dir; /* NAME.safetensors, NAME.wav in it are voices, before the pack's; NULL: none */
  uint64_t seed;          /* 42; the low 32 bits count */
  float temperature;      /* 0: no noise; less, or NaN: the pack's, else 0.3 */
  float eos_threshold;    /* speech ends above it; NaN: the pack's */
  float noise_clamp;      /* > 0: noise within [-noise_clamp, noise_clamp]; 0: all */
  int lsd_steps;          /* 1 to 1000: 1 */
  int max_frames;         /* as above; 0: only the model's own limit */
  int frames_after_eos;   /* 0 to 10000; -1: the pack's */
  int max_tokens;         /* of what is spoken in one go, 1 to 4096: 50 */
  int threads;            /* most that a call may use; 0: as many as are good.  This version uses one */
  uint32_t flags;         /* POCKET_TTS_FLAG_*, added up */
} PocketTTSConfigEx;

/* The defaults, which are those of the project's other hosts.  `struct_size`: sizeof(PocketTTSConfigEx). */
POCKET_TTS_API void pocket_tts_config_ex_init(PocketTTSConfigEx* config, size_t struct_size);

/* Loads a model; NULL config: the defaults.  NULL on error. */
POCKET_TTS_API PocketTTSHandle pocket_tts_create_ex(const PocketTTSConfigEx* config);

/* Hz, or -1. */
POCKET_TTS_API int pocket_tts_sample_rate(PocketTTSHandle handle);

/* Writes a voice as a .safetensors file, which loads faster than a recording; what was there is replaced when all of it is
 * written.  0, or -1. */
POCKET_TTS_API int pocket_tts_export_voice(VoiceHandle voice, const char* path);

/* The voices by name, the default one first: puts at most `capacity` into `names` and returns how many there are, or -1.  They
 * stay valid until the handle is destroyed. */
POCKET_TTS_API int pocket_tts_list_voices(PocketTTSHandle handle, const char** names, int capacity);

#ifdef __cplusplus
}
#endif
#endif

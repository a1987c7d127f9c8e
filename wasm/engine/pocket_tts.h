/* Pocket TTS inference engine: the one public header.
 *
 * The model in one breath: text -> SentencePiece ids -> FlowLM (a causal transformer that samples one latent per
 * 80 ms frame through a small flow net) -> Mimi decoder -> 24 kHz audio.  A voice is a key/value-cache prefix.
 *
 * The call sequence:
 *
 *   ptts_handle pack, model, voice, session, codec;
 *   ptts_pack_open(config_json, len, PTTS_PART_ALL, PTTS_PRECISION_F32, &pack);
 *   ptts_pack_tokenizer(pack, PTTS_TOKENIZER_SENTENCEPIECE, bytes, len);
 *   ptts_pack_file(pack, PTTS_FILE_BUNDLE, total_bytes);
 *   while (read some) ptts_pack_feed(pack, bytes, n);            // any slice size, in file order
 *   ptts_pack_close(pack, &model);                               // refuses what is missing
 *   ptts_voice_load(model, voice_safetensors, len, &voice);
 *   ptts_options options;  ptts_options_init(model, &options);   // the model's own defaults
 *   ptts_session_open(model, voice, text, len, &options, &session);
 *   ptts_codec_open(model, &codec);
 *   while ((s = ptts_session_step(session, latent, &event)) != PTTS_DONE) {
 *     if (s == PTTS_OK) ptts_codec_decode(codec, latent, 1, pcm);      // 1 latent -> 1920 samples
 *     else if (s == PTTS_CHUNK_END) ptts_codec_reset(codec);           // the next chunk starts afresh
 *     else report(s, ptts_message());
 *   }
 *
 * Rules.  Every call returns a ptts_status; after a negative one ptts_message() says what was expected and what was
 * found, and every object stays usable or can at least be closed.  Objects are opaque numbers, never 0; a closed,
 * unknown or wrong-kind handle is answered with PTTS_ERROR_HANDLE.  Objects that build on others (voice, session,
 * codec on a model) keep what they need alive: closing in any order is safe.  Nothing here reads files, clocks,
 * the environment or the network; nothing starts a thread.  One thread at a time may use an instance of the engine.
 *
 * FlowLM and Mimi may live in two instances: load PTTS_PART_FLOW_LM in one and PTTS_PART_MIMI_DECODER in the other,
 * and carry the latents across. */
#ifndef POCKET_TTS_H_
#define POCKET_TTS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t ptts_handle;

/* One table for C, TypeScript and Go.  Negative: errors.  Zero and positive: not errors. */
typedef int32_t ptts_status;
enum {
  PTTS_OK = 0,
  PTTS_CHUNK_END = 1, /* of a step: this chunk is complete, no latent was written */
  PTTS_DONE = 2,      /* of a step: the text is complete, no latent was written */

  PTTS_ERROR_ARGUMENT = -1,  /* a number or pointer that the call cannot take */
  PTTS_ERROR_HANDLE = -2,    /* closed, unknown, or of another kind */
  PTTS_ERROR_STATE = -3,     /* a call out of order */
  PTTS_ERROR_CONFIG = -4,    /* the configuration: unknown key, wrong type, impossible shape */
  PTTS_ERROR_WEIGHTS = -5,   /* a weights file: broken container, missing/extra/wrong tensor, not a number */
  PTTS_ERROR_TOKENIZER = -6, /* a tokenizer file that is not one, or not this model's */
  PTTS_ERROR_VOICE = -7,     /* a voice file that is broken or made for another model */
  PTTS_ERROR_AUDIO = -8,     /* audio that cannot be read, is too short, too long, or not a number */
  PTTS_ERROR_CLONING = -9,   /* this model cannot make voices from audio */
  PTTS_ERROR_TEXT_EMPTY = -10,    /* nothing left to speak after preparation */
  PTTS_ERROR_TEXT_ENCODING = -11, /* not UTF-8 */
  PTTS_ERROR_TEXT_TOO_LONG = -12, /* the text, or one unbreakable chunk of it, is over the limit */
  PTTS_ERROR_MEMORY = -13,        /* an allocation was refused */
  PTTS_ERROR_NUMERIC = -14        /* the model produced something that is not a number */
};

/* The stable name of a status ("PTTS_ERROR_WEIGHTS"), or "PTTS_UNKNOWN". */
const char* ptts_status_name(ptts_status status);

/* What the last failing call had to say; UTF-8; valid until the next call. */
const char* ptts_message(void);

/* Version of the engine, "MAJOR.MINOR.PATCH". */
const char* ptts_version(void);

/* Bytes that the engine holds for its objects right now (weights, caches, states), for leak checks and reports. */
uint64_t ptts_allocated_bytes(void);

/* Closes any object. */
ptts_status ptts_close(ptts_handle handle);

/* Memory for a host outside of the address space (the WASI and Embind doors).  0 when refused. */
void* ptts_alloc(size_t bytes);
void ptts_free(void* memory);

/* ---- loading ------------------------------------------------------------------------------------------------ */

enum {
  PTTS_PART_FLOW_LM = 1,
  PTTS_PART_MIMI_DECODER = 2,
  PTTS_PART_MIMI_ENCODER = 4, /* for voices made from audio; needs PTTS_PART_FLOW_LM beside it */
  PTTS_PART_ALL = 7
};

enum {
  PTTS_PRECISION_F32 = 0,
  /* Integer weights, one scale per row, and 16-bit integer inputs: 8 bits in the transformers, 12 in the flow net and the
   * decoder's convolutions; the rest, and all sums, in f32. */
  PTTS_PRECISION_Q8 = 1,
  /* The same with 4 bits, one scale for every 32 weights, in the FlowLM's transformer. */
  PTTS_PRECISION_Q4 = 2
};

enum { PTTS_TOKENIZER_SENTENCEPIECE = 0, PTTS_TOKENIZER_JSON = 1 };

enum {
  PTTS_FILE_BUNDLE = 0,  /* flow_lm.* and mimi.* in one file */
  PTTS_FILE_FLOW_LM = 1, /* a FlowLM file of its own (configuration: flow_lm.weights_path) */
  PTTS_FILE_MIMI = 2     /* a Mimi file of its own (mimi.weights_path) */
};

/* Reads the configuration (the reference's fields as JSON) and plans every tensor. */
ptts_status ptts_pack_open(const char* config_json, size_t length, uint32_t parts, uint32_t precision,
                           ptts_handle* pack);

/* The tokenizer file.  Needed for PTTS_PART_FLOW_LM; its size must equal flow_lm.lookup_table.n_bins. */
ptts_status ptts_pack_tokenizer(ptts_handle pack, uint32_t kind, const void* data, size_t length);

/* Announces a weights file of `total_bytes`; after it, ptts_pack_feed takes that file's bytes in order.
 * Tensors of parts that were not asked for are checked and passed over. */
ptts_status ptts_pack_file(ptts_handle pack, uint32_t kind, uint64_t total_bytes);
ptts_status ptts_pack_feed(ptts_handle pack, const void* data, size_t length);

/* Completes the model.  The pack handle is closed on success and on failure. */
ptts_status ptts_pack_close(ptts_handle pack, ptts_handle* model);

/* ---- the model ---------------------------------------------------------------------------------------------- */

typedef struct ptts_model_info {
  uint32_t sample_rate;       /* Hz: 24000 */
  uint32_t samples_per_frame; /* 1920 */
  uint32_t latent_width;      /* floats in a latent: 32 in shipped models */
  uint32_t vocabulary;        /* n_bins */
  uint32_t parts;             /* PTTS_PART_* that are loaded */
  uint32_t precision;         /* PTTS_PRECISION_* */
  uint32_t can_clone;         /* 1 when voices can be made from audio */
  uint32_t layers;            /* of the FlowLM */
  uint32_t hidden_width;      /* floats in the FlowLM's hidden vector */
  uint32_t reserved;          /* 0 */
  uint64_t weight_bytes;      /* working weights in memory */
} ptts_model_info;

ptts_status ptts_model_get_info(ptts_handle model, ptts_model_info* info);

/* Token ids of a text as it is (no preparation).  `count` in: room in `ids`; out: ids needed (call again if more). */
ptts_status ptts_tokenize(ptts_handle model, const char* text, size_t length, int32_t* ids, size_t* count);

/* The text that these ids stand for; freed with ptts_free. */
ptts_status ptts_detokenize(ptts_handle model, const int32_t* ids, size_t count, char** text, size_t* length);

/* A text as it would be given to the tokenizer if it were spoken whole; freed with ptts_free.  `guess`: the frames
 * after the end that its number of words suggests. */
ptts_status ptts_prepare(ptts_handle model, const char* text, size_t length, char** prepared,
                         size_t* prepared_length, uint32_t* guess);

/* The weights of `parts` as a safetensors file (models/FORMAT.md) that loads again into the same model with the same
 * precision: a converted pack.  `total_bytes`: its size.  ptts_export_read gives at most `capacity` of its bytes at a time,
 * `written` 0 at its end. */
ptts_status ptts_export_open(ptts_handle model, uint32_t parts, ptts_handle* exported, uint64_t* total_bytes);
ptts_status ptts_export_read(ptts_handle exported, void* data, size_t capacity, size_t* written);

/* ---- voices ------------------------------------------------------------------------------------------------- */

/* A voice file (safetensors) of any generation. */
ptts_status ptts_voice_load(ptts_handle model, const void* data, size_t length, ptts_handle* voice);

/* A voice from an audio file in memory (RIFF WAV: 8, 16, 24, 32-bit integers, 32 and 64-bit floats; any channels,
 * averaged; any rate, resampled).  `max_seconds` > 0 keeps only the beginning.  At most 120 s are taken. */
ptts_status ptts_voice_from_wav(ptts_handle model, const void* data, size_t length, float max_seconds,
                                ptts_handle* voice);

/* A voice from mono samples at `sample_rate` (1000 to 768000 Hz). */
ptts_status ptts_voice_from_pcm(ptts_handle model, const float* samples, size_t count, uint32_t sample_rate,
                                ptts_handle* voice);

/* Key/value positions of the voice. */
ptts_status ptts_voice_length(ptts_handle voice, uint32_t* positions);

/* The voice as a safetensors file (generation d) in memory that the caller frees with ptts_free. */
ptts_status ptts_voice_export(ptts_handle voice, void** data, size_t* length);

/* ---- speaking ----------------------------------------------------------------------------------------------- */

enum {
  PTTS_RNG_CHUNK = 0, /* chunk 0 draws from `seed`, chunk i from a mix of (seed, i) */
  PTTS_RNG_TORCH = 1  /* one sequential stream over all chunks, as in the reference */
};

typedef struct ptts_options {
  uint64_t seed;            /* the low 32 bits seed the generator, as in the reference */
  float temperature;        /* variance of the noise, >= 0 */
  float eos_threshold;      /* the end is a logit strictly above it */
  float noise_clamp;        /* > 0: noise truncated to [-clamp, clamp]; 0: none */
  int32_t decode_steps;     /* of the sampler, 1 to 1000 */
  int32_t frames_after_eos; /* -1: the model's own value, or the guess by the number of words */
  int32_t max_tokens;       /* per chunk, 1 to 4096 */
  uint32_t rng;             /* PTTS_RNG_* */
  uint32_t discard_draws; /* draws thrown away first (PTTS_RNG_TORCH: 1 for a voice encoded after seeding) */
} ptts_options;

/* Fills in the defaults of a model: temperature and threshold of its configuration, seed 42. */
ptts_status ptts_options_init(ptts_handle model, ptts_options* options);

typedef struct ptts_event {
  uint32_t chunk;     /* index of the chunk */
  uint32_t step;      /* index of the frame in its chunk */
  float eos_logit;    /* of this step */
  uint32_t eos;       /* 1 from the step on at which the end was found */
  uint32_t truncated; /* 1 with PTTS_CHUNK_END when the length limit ended the chunk */
} ptts_event;

/* Prepares the text and cuts it into chunks.  At most 4 MiB of UTF-8. */
ptts_status ptts_session_open(ptts_handle model, ptts_handle voice, const char* text, size_t length,
                              const ptts_options* options, ptts_handle* session);

typedef struct ptts_chunk {
  uint32_t tokens;           /* ids spoken */
  uint32_t frames_after_eos; /* in force for this chunk */
  uint32_t max_frames;       /* its length limit */
  uint32_t text_begin;       /* bytes of the caller's text that this chunk speaks: [begin, end) */
  uint32_t text_end;
  uint32_t over_limit; /* 1 when it has more than max_tokens ids (spoken whole) */
} ptts_chunk;

ptts_status ptts_session_chunk_count(ptts_handle session, uint32_t* count);
ptts_status ptts_session_chunk(ptts_handle session, uint32_t index, ptts_chunk* chunk);

/* Texts of a chunk: `which` 0 the piece that was cut, 1 the prompt that is spoken.  Valid until the next call. */
ptts_status ptts_session_chunk_text(ptts_handle session, uint32_t index, uint32_t which, const char** text,
                                    size_t* length);
ptts_status ptts_session_chunk_ids(ptts_handle session, uint32_t index, const int32_t** ids, size_t* count);

/* Moves to the start of a chunk (0 <= index <= count); later chunks follow.  For speaking chunks in parallel. */
ptts_status ptts_session_seek(ptts_handle session, uint32_t chunk);

/* Makes one latent (latent_width floats).  PTTS_OK, PTTS_CHUNK_END, PTTS_DONE or an error.
 * The first step of a chunk also runs the chunk's text through the transformer. */
ptts_status ptts_session_step(ptts_handle session, float* latent, ptts_event* event);

/* Throughput: the next step of up to `most` chunks (1 to 16) at once, so that the weights come from memory once for all of
 * them.  A chunk's latents are the same, whoever is spoken beside it.  `begin`: a chunk that joins them if they are fewer
 * than `most` and there is memory for one more, else later, or PTTS_NONE; its text runs through the transformer first.
 * PTTS_OK with `count` results, at most `most`: of the i-th statuses[i], events[i] and, with PTTS_OK there,
 * latents[i * latent_width ...]; an error ends its chunk.  PTTS_DONE: no chunk is being spoken.  Refused with PTTS_RNG_TORCH.
 * Not to be mixed with ptts_session_step, unless ptts_session_seek stands between: it gives up all chunks. */
#define PTTS_NONE UINT32_MAX
ptts_status ptts_session_step_many(ptts_handle session, uint32_t most, uint32_t begin, float* latents,
                                   ptts_event* events, ptts_status* statuses, uint32_t* count);

/* Teacher forcing, for parity tests: the same as ptts_session_step, but the step sees `previous` instead of the session's own last
 * latent (NULL: its own) and starts the sampler from `noise` (NULL: drawn).  The end is found but never acted on. */
ptts_status ptts_session_step_forced(ptts_handle session, const float* previous, const float* noise,
                                     float* latent, ptts_event* event);

/* One evaluation of the flow net, for parity tests: `condition` is the hidden vector (probe "hidden"), `times` as many
 * as the flow type has (lsd 2, flow_matching 1, else none), x and velocity have latent_width floats. */
ptts_status ptts_flow_velocity(ptts_handle model, const float* condition, const float* times, const float* x,
                               float* velocity);

/* ---- decoding ----------------------------------------------------------------------------------------------- */

ptts_status ptts_codec_open(ptts_handle model, ptts_handle* codec);

/* A fresh state: the start of a chunk. */
ptts_status ptts_codec_reset(ptts_handle codec);

/* `count` latents -> count x samples_per_frame samples, in any grouping; the first 120 samples after a reset are
 * faded in. Samples may exceed 1: the caller clamps when it writes integers. */
ptts_status ptts_codec_decode(ptts_handle codec, const float* latents, size_t count, float* pcm);

/* 1: fade in (default); 0: raw decoder output, for parity tests. */
ptts_status ptts_codec_fade(ptts_handle codec, uint32_t on);

/* ---- another speed -------------------------------------------------------------------------------------------- */

/* Speech at `speed` times its own (0.25 to 4) with its pitch kept; mono, 8000 to 192000 Hz.  n samples that go in come out as
 * round(n / speed).  How they are grouped in calls changes nothing; the result has the same bits on every host. */
ptts_status ptts_stretch_open(uint32_t sample_rate, float speed, ptts_handle* stretch);

/* Takes samples, within [-100, 100].  It looks up to 60 ms of source and 60 ms of result ahead: until so much is there, nothing is
 * read. */
ptts_status ptts_stretch_write(ptts_handle stretch, const float* samples, size_t count);

/* Says that no more samples will come: the rest can be read. */
ptts_status ptts_stretch_end(ptts_handle stretch);

/* Writes at most `capacity` samples; `written` 0: more input is needed, or the end. */
ptts_status ptts_stretch_read(ptts_handle stretch, float* samples, size_t capacity, size_t* written);

/* ---- looking inside ----------------------------------------------------------------------------------------- */

/* Records activations under the names of the reference's goldens ("mimi.dbg.seanet.3", "hidden", ...) while on. */
ptts_status ptts_probe(uint32_t on);

/* The recordings so far as a safetensors file; freed with ptts_free.  A name that was recorded n times
 * is stored as name#0 ... name#n-1.  Clears them. */
ptts_status ptts_probe_take(void** data, size_t* length);

/* Audio helpers used by the voice encoder, for tests and hosts: resampling to 24 kHz, and the cut at a pause.
 * The results are freed with ptts_free. */
ptts_status ptts_wav_read(const void* data, size_t length, float** samples, size_t* count,
                          uint32_t* sample_rate);
ptts_status ptts_resample(const float* samples, size_t count, uint32_t from_rate, uint32_t to_rate,
                          float** out, size_t* out_count);
ptts_status ptts_end_on_pause(const float* samples, size_t count, float** out, size_t* out_count);

/* Normals as the reference draws them from a generator seeded with `seed`, std = sqrt(temperature): `draws` tensors
 * of widths[i] values, one behind the other in `out`. */
ptts_status ptts_normals(uint64_t seed, float temperature, float noise_clamp, const uint32_t* widths,
                         size_t draws, float* out);

#ifdef __cplusplus
}
#endif
#endif

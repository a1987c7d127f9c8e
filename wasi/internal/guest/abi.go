// The ABI on one screen: every function that the guest module exports, as pocket_tts.h declares it.
//
// A test compares this list with the header, with wasm/wasi.cpp's module and with nothing left over on either side.

package guest

import (
	"fmt"
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

// abi holds the exported functions of one instance. Pointers and sizes are 32 bits wide.
type abi struct {
	StatusName     api.Function `export:"ptts_status_name"`     // (status) -> char*
	Message        api.Function `export:"ptts_message"`         // () -> char*
	Version        api.Function `export:"ptts_version"`         // () -> char*
	AllocatedBytes api.Function `export:"ptts_allocated_bytes"` // () -> u64
	Close          api.Function `export:"ptts_close"`           // (handle)
	Alloc          api.Function `export:"ptts_alloc"`           // (bytes) -> void*
	Free           api.Function `export:"ptts_free"`            // (void*)

	PackOpen      api.Function `export:"ptts_pack_open"`      // (json, length, parts, precision, *pack)
	PackTokenizer api.Function `export:"ptts_pack_tokenizer"` // (pack, kind, data, length)
	PackFile      api.Function `export:"ptts_pack_file"`      // (pack, kind, u64 total)
	PackFeed      api.Function `export:"ptts_pack_feed"`      // (pack, data, length)
	PackClose     api.Function `export:"ptts_pack_close"`     // (pack, *model)
	ModelGetInfo  api.Function `export:"ptts_model_get_info"` // (model, *info)
	Tokenize      api.Function `export:"ptts_tokenize"`       // (model, text, length, ids, *count)
	Detokenize    api.Function `export:"ptts_detokenize"`     // (model, ids, count, **text, *length)
	Prepare       api.Function `export:"ptts_prepare"`        // (model, text, length, **prepared, *length, *guess)

	ExportOpen api.Function `export:"ptts_export_open"` // (model, parts, *export, u64 *total)
	ExportRead api.Function `export:"ptts_export_read"` // (export, data, capacity, *written)

	VoiceLoad    api.Function `export:"ptts_voice_load"`     // (model, data, length, *voice)
	VoiceFromWAV api.Function `export:"ptts_voice_from_wav"` // (model, data, length, f32 seconds, *voice)
	VoiceFromPCM api.Function `export:"ptts_voice_from_pcm"` // (model, samples, count, rate, *voice)
	VoiceLength  api.Function `export:"ptts_voice_length"`   // (voice, *positions)
	VoiceExport  api.Function `export:"ptts_voice_export"`   // (voice, **data, *length)

	OptionsInit       api.Function `export:"ptts_options_init"`        // (model, *options)
	SessionOpen       api.Function `export:"ptts_session_open"`        // (model, voice, text, length, *options, *session)
	SessionChunkCount api.Function `export:"ptts_session_chunk_count"` // (session, *count)
	SessionChunk      api.Function `export:"ptts_session_chunk"`       // (session, index, *chunk)
	SessionChunkText  api.Function `export:"ptts_session_chunk_text"`  // (session, index, which, **text, *length)
	SessionChunkIDs   api.Function `export:"ptts_session_chunk_ids"`   // (session, index, **ids, *count)
	SessionSeek       api.Function `export:"ptts_session_seek"`        // (session, chunk)
	SessionStep       api.Function `export:"ptts_session_step"`        // (session, latent, *event)
	SessionStepMany   api.Function `export:"ptts_session_step_many"`   // (session, most, begin, latents, *events, *statuses, *count)
	SessionStepForced api.Function `export:"ptts_session_step_forced"` // (session, previous, noise, latent, *event)
	FlowVelocity      api.Function `export:"ptts_flow_velocity"`       // (model, condition, times, x, velocity)

	CodecOpen   api.Function `export:"ptts_codec_open"`   // (model, *codec)
	CodecReset  api.Function `export:"ptts_codec_reset"`  // (codec)
	CodecDecode api.Function `export:"ptts_codec_decode"` // (codec, latents, count, pcm)
	CodecFade   api.Function `export:"ptts_codec_fade"`   // (codec, on)

	StretchOpen  api.Function `export:"ptts_stretch_open"`  // (rate, f32 speed, *stretch)
	StretchWrite api.Function `export:"ptts_stretch_write"` // (stretch, samples, count)
	StretchEnd   api.Function `export:"ptts_stretch_end"`   // (stretch)
	StretchRead  api.Function `export:"ptts_stretch_read"`  // (stretch, samples, capacity, *written)

	Probe      api.Function `export:"ptts_probe"`        // (on)
	ProbeTake  api.Function `export:"ptts_probe_take"`   // (**data, *length)
	WavRead    api.Function `export:"ptts_wav_read"`     // (data, length, **samples, *count, *rate)
	Resample   api.Function `export:"ptts_resample"`     // (samples, count, from, to, **out, *count)
	EndOnPause api.Function `export:"ptts_end_on_pause"` // (samples, count, **out, *count)
	Normals    api.Function `export:"ptts_normals"`      // (u64 seed, f32 temperature, f32 clamp, widths, draws, out)
}

// exportNames lists the functions above.
func exportNames() []string {
	t := reflect.TypeFor[abi]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("export")
	}
	return names
}

// bind looks every function up once, so that a module that lacks one is refused before it is used.
func bind(module api.Module) (*abi, error) {
	functions := new(abi)
	fields := reflect.ValueOf(functions).Elem()
	for i, name := range exportNames() {
		function := module.ExportedFunction(name)
		if function == nil {
			return nil, fmt.Errorf("the guest module does not export %s", name)
		}
		fields.Field(i).Set(reflect.ValueOf(function))
	}
	return functions, nil
}

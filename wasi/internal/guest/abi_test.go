package guest

import (
	"context"
	"encoding/binary"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// header reads pocket_tts.h without its comments, and skips a test where the module was downloaded by itself.
func header(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../../wasm/engine/pocket_tts.h")
	if err != nil {
		t.Skip("outside of the repository")
	}
	return regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(data), "")
}

func TestEveryFunctionOfTheHeaderIsBound(t *testing.T) {
	var declared []string
	for _, match := range regexp.MustCompile(`\b(ptts_\w+)\(`).FindAllStringSubmatch(header(t), -1) {
		declared = append(declared, match[1])
	}
	if bound := exportNames(); !slices.Equal(declared, bound) {
		t.Errorf("pocket_tts.h declares\n%v, bound are\n%v", declared, bound)
	}
}

// TestGuestImportsNothing is the sandbox: what is not imported cannot be called. There is no file system, socket,
// environment, argument, clock or random source that a host could grant by mistake.
func TestGuestImportsNothing(t *testing.T) {
	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	compiled, err := runtime.CompileModule(ctx, ModuleBytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		t.Errorf("imports the function %s.%s", module, name)
	}
	for _, m := range compiled.ImportedMemories() {
		module, name, _ := m.Import()
		t.Errorf("imports the memory %s.%s", module, name)
	}
	var exported []string
	for name := range compiled.ExportedFunctions() {
		exported = append(exported, name)
	}
	want := append(exportNames(), "_initialize")
	slices.Sort(exported)
	slices.Sort(want)
	if !slices.Equal(exported, want) {
		t.Errorf("exports\n%v, want\n%v", exported, want)
	}
}

// TestStructuresMirrorTheHeader compares field for field: types, order and names without their underscores.
func TestStructuresMirrorTheHeader(t *testing.T) {
	kinds := map[string]reflect.Kind{"uint32_t": reflect.Uint32, "int32_t": reflect.Int32, "uint64_t": reflect.Uint64, "float": reflect.Float32}
	field := regexp.MustCompile(`(\w+)\s+(\w+);`)
	text := header(t)
	for name, value := range map[string]any{
		"ptts_model_info": ModelInfo{}, "ptts_options": Options{}, "ptts_event": Event{}, "ptts_chunk": Chunk{},
	} {
		begin := strings.Index(text, "typedef struct "+name+" {")
		end := strings.Index(text, "} "+name+";")
		if begin < 0 || end < begin {
			t.Errorf("pocket_tts.h does not define %s", name)
			continue
		}
		fields := field.FindAllStringSubmatch(text[begin:end], -1)
		mirror := reflect.TypeOf(value)
		if len(fields) != mirror.NumField() {
			t.Errorf("%s: %d fields, mirrored are %d", name, len(fields), mirror.NumField())
			continue
		}
		for n, match := range fields {
			got, want := mirror.Field(n), strings.ReplaceAll(match[2], "_", "")
			if got.Type.Kind() != kinds[match[1]] || !strings.EqualFold(got.Name, want) {
				t.Errorf("%s.%s is a %s; mirrored is %s, a %s", name, match[2], match[1], got.Name, got.Type)
			}
		}
		// wasm/wasi.cpp asserts the same of the C++ side: no padding.
		if size := binary.Size(value); size%4 != 0 || name != "ptts_event" && size%8 != 0 {
			t.Errorf("%s: %d bytes would be padded", name, size)
		}
	}
}

func TestStatusesMirrorTheHeader(t *testing.T) {
	constants := map[string]int{
		"PTTS_OK": int(OK), "PTTS_CHUNK_END": int(ChunkEnd), "PTTS_DONE": int(Done),
		"PTTS_ERROR_ARGUMENT": int(StatusArgument), "PTTS_ERROR_HANDLE": int(StatusHandle),
		"PTTS_ERROR_STATE": int(StatusState), "PTTS_ERROR_CONFIG": int(StatusConfig),
		"PTTS_ERROR_WEIGHTS": int(StatusWeights), "PTTS_ERROR_TOKENIZER": int(StatusTokenizer),
		"PTTS_ERROR_VOICE": int(StatusVoice), "PTTS_ERROR_AUDIO": int(StatusAudio),
		"PTTS_ERROR_CLONING": int(StatusCloning), "PTTS_ERROR_TEXT_EMPTY": int(StatusTextEmpty),
		"PTTS_ERROR_TEXT_ENCODING": int(StatusTextEncoding), "PTTS_ERROR_TEXT_TOO_LONG": int(StatusTextTooLong),
		"PTTS_ERROR_MEMORY": int(StatusMemory), "PTTS_ERROR_NUMERIC": int(StatusNumeric),
		"PTTS_PART_FLOW_LM": int(PartFlowLM), "PTTS_PART_MIMI_DECODER": int(PartMimiDecoder),
		"PTTS_PART_MIMI_ENCODER": int(PartMimiEncoder), "PTTS_PART_ALL": int(PartAll),
		"PTTS_PRECISION_F32": int(PrecisionF32), "PTTS_PRECISION_Q8": int(PrecisionQ8), "PTTS_PRECISION_Q4": int(PrecisionQ4),
		"PTTS_TOKENIZER_SENTENCEPIECE": int(TokenizerSentencePiece), "PTTS_TOKENIZER_JSON": int(TokenizerJSON),
		"PTTS_FILE_BUNDLE": int(FileBundle), "PTTS_FILE_FLOW_LM": int(FileFlowLM), "PTTS_FILE_MIMI": int(FileMimi),
		"PTTS_RNG_CHUNK": int(RNGChunk), "PTTS_RNG_TORCH": int(RNGTorch),
	}
	found := 0
	for _, match := range regexp.MustCompile(`\b(PTTS_\w+)\s*=\s*(-?\d+)`).FindAllStringSubmatch(header(t), -1) {
		found++
		value, ok := constants[match[1]]
		if want := match[2]; !ok || want != strconv.Itoa(value) {
			t.Errorf("%s is %s in pocket_tts.h, %d here", match[1], want, value)
		}
	}
	if found != len(constants) {
		t.Errorf("pocket_tts.h has %d constants, here are %d", found, len(constants))
	}
}

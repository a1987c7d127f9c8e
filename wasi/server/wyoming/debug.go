// Recordings of what was said, for who looks for a fault.

package wyoming

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

type recording struct {
	file *os.File
	out  *wav.Writer
	log  *slog.Logger
}

// unfit is what has no place in the name of a file.
var unfit = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// record begins a file in a folder; nil, and a warning, when that fails.
func record(dir, voice string, rate int, log *slog.Logger) *recording {
	begun := time.Now()
	for range 100 { // two at the same microsecond
		stamp := strings.Replace(begun.Format("20060102_150405.000000"), ".", "_", 1)
		path := filepath.Join(dir, fmt.Sprintf("debug_%s_%s.wav", unfit.ReplaceAllString(voice, "_"), stamp))
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			return &recording{file, wav.NewWriter(file, uint32(rate), 0), log}
		}
		if !os.IsExist(err) {
			log.Warn("Wyoming: no recording", "error", err)
			return nil
		}
		begun = begun.Add(time.Microsecond)
	}
	return nil
}

func (r *recording) write(samples []float32) {
	if err := r.out.Write(samples); err != nil {
		r.log.Warn("Wyoming: the recording is not whole", "error", err)
	}
}

func (r *recording) close() {
	if err := r.out.Abort(); err != nil { // what there is, without silence behind it
		r.log.Warn("Wyoming: the recording is not whole", "error", err)
	}
	_ = r.file.Close()
}

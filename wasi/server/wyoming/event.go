// The wire format: a line of JSON, then data_length bytes of JSON, then payload_length raw bytes.

package wyoming

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// protocolVersion is that of the Python library whose bytes these are.
const protocolVersion = "1.9.0"

// Limits of what is read. A payload is not kept.
const (
	lineLimit    = 64 << 10
	dataLimit    = 1 << 20
	payloadLimit = 1 << 20
)

// errEvent is what is not an event; the connection cannot go on, as nobody knows where the next one begins.
var errEvent = errors.New("not an event")

// event is one that came in.
type event struct {
	kind string
	data map[string]json.RawMessage // never nil
}

// reader reads events.
type reader struct{ r *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, lineLimit)} }

// next reads an event. The error is io.EOF at the end of the stream, between two events.
func (r *reader) next() (event, error) {
	line, err := r.r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return event{}, fmt.Errorf("%w: expected a line of at most %d bytes, found more", errEvent, lineLimit)
	case err == io.EOF && len(line) > 0: // the last line may lack its end
	case err != nil:
		return event{}, err
	}
	head, err := object(line)
	if err != nil {
		return event{}, fmt.Errorf("%w: the line: %w", errEvent, err)
	}
	made := event{data: map[string]json.RawMessage{}}
	if made.kind, err = text(head, "type"); err != nil {
		return event{}, fmt.Errorf("%w: %w", errEvent, err)
	}
	if inline, ok := head["data"]; ok && !isNull(inline) {
		if made.data, err = object(inline); err != nil {
			return event{}, fmt.Errorf("%w: data: %w", errEvent, err)
		}
	}
	dataLength, err := length(head, "data_length", dataLimit)
	if err != nil {
		return event{}, err
	}
	payloadLength, err := length(head, "payload_length", payloadLimit)
	if err != nil {
		return event{}, err
	}
	if dataLength > 0 {
		data, err := io.ReadAll(io.LimitReader(r.r, dataLength)) // as much memory as has come, not as was announced
		if err == nil && int64(len(data)) < dataLength {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return event{}, err
		}
		extra, err := object(data)
		if err != nil {
			return event{}, fmt.Errorf("%w: data: %w", errEvent, err)
		}
		for key, value := range extra {
			made.data[key] = value
		}
	}
	if n, err := io.CopyN(io.Discard, r.r, payloadLength); n < payloadLength {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return event{}, err
	}
	return made, nil
}

// object reads a JSON object with its keys as they are written: Go's own mapping onto structures takes them in any case.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("expected UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, errors.New("expected a JSON object")
	}
	if fields == nil {
		return nil, errors.New("expected a JSON object, found null")
	}
	return fields, nil
}

func isNull(value json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(value), []byte("null")) }

// text is a string that must be there.
func text(fields map[string]json.RawMessage, key string) (string, error) {
	var value *string
	if raw, ok := fields[key]; !ok || json.Unmarshal(raw, &value) != nil || value == nil {
		return "", fmt.Errorf("%s: expected a string", key)
	}
	return *value, nil
}

// length is a number of bytes, 0 where there is none.
func length(fields map[string]json.RawMessage, key string, limit int64) (int64, error) {
	raw, ok := fields[key]
	if !ok || isNull(raw) {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("%w: %s: expected a whole number of bytes up to %d, found %.40s", errEvent, key, limit, raw)
	}
	return n, nil
}

// appendEvent appends an event as the Python library writes it. Data, where there is some, is a value whose JSON is an
// object.
func appendEvent(dst []byte, kind string, data any, payload []byte) ([]byte, error) {
	var body []byte
	if data != nil {
		var err error
		if body, err = appendJSON(nil, data); err != nil {
			return dst, err
		}
	}
	head := struct {
		Type          string `json:"type"`
		Version       string `json:"version"`
		DataLength    int    `json:"data_length,omitempty"`
		PayloadLength int    `json:"payload_length,omitempty"`
	}{kind, protocolVersion, len(body), len(payload)}
	dst, err := appendJSON(dst, head)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	dst = append(dst, body...)
	return append(dst, payload...), nil
}

// appendJSON appends JSON with Python's white space, and no character escaped that need not be.
func appendJSON(dst []byte, value any) ([]byte, error) {
	var compact bytes.Buffer
	encoder := json.NewEncoder(&compact)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return dst, err
	}
	quoted := false
	for in := bytes.TrimSuffix(compact.Bytes(), []byte("\n")); len(in) > 0; in = in[1:] {
		switch {
		case quoted && in[0] == '\\':
			if r, ok := separator(in); ok { // Go escapes it for old JavaScript
				dst = utf8.AppendRune(dst, r)
				in = in[5:]
				continue
			}
			dst = append(dst, in[0])
			in = in[1:]
		case in[0] == '"':
			quoted = !quoted
		case !quoted && (in[0] == ',' || in[0] == ':'):
			dst = append(dst, in[0], ' ')
			continue
		}
		dst = append(dst, in[0])
	}
	return dst, nil
}

// separator reads an escaped U+2028 or U+2029.
func separator(in []byte) (rune, bool) {
	switch {
	case bytes.HasPrefix(in, []byte(`\u2028`)):
		return 0x2028, true
	case bytes.HasPrefix(in, []byte(`\u2029`)):
		return 0x2029, true
	case bytes.HasPrefix(in, []byte(`\ufffd`)):
		return utf8.RuneError, true
	}
	return 0, false
}

// Jobs: a text that is spoken piece by piece, and all that was said of it, kept for whoever comes late.

package voicereader

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// What is kept of jobs: the newest, and as many bytes of their sound. The one that is spoken is kept whatever its size, which
// Limits.Sound bounds, or else soundOfJob.
const (
	jobsKept   = 64
	soundKept  = 256 << 20
	soundOfJob = 30 * time.Minute
)

// event is a message of a job: one of its sounds where it has any.
type event struct {
	kind  string
	seq   int
	index int // of the chunk
	chunk chunk
	pcm   []byte
	why   *refusal // of a JOB_ERROR
}

// The kinds of events; the last three end a job.
const (
	jobStarted  = "JOB_STARTED"
	audioChunk  = "AUDIO_CHUNK"
	jobDone     = "JOB_DONE"
	jobCanceled = "JOB_CANCELED"
	jobError    = "JOB_ERROR"
)

func (e event) isLast() bool { return e.kind == jobDone || e.kind == jobCanceled || e.kind == jobError }

type job struct {
	id         string
	request    speakRequest
	chunks     []chunk
	name       string           // of the voice of the service; empty: its own choice
	voice      *pockettts.Voice // that was made here, instead
	free       func()           // gives the voice back; called once, when nobody works for the job
	sampleRate int
	ctx        context.Context
	cancel     context.CancelFunc
	ended      chan struct{} // nobody works for it any more

	mu           sync.Mutex
	rate, volume float64 // from the next chunk on
	events       []event
	bytes        int           // of their sound
	more         chan struct{} // closed with the next event
}

func newUUID() string {
	var data [16]byte
	_, _ = rand.Read(data[:]) // never fails
	data[6], data[8] = data[6]&0x0f|0x40, data[8]&0x3f|0x80
	return formatUUID(data)
}

// publish adds an event and wakes who waits for it; false where the job was over.
func (j *job) publish(e event) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.isOver() {
		return false
	}
	if e.kind == audioChunk {
		e.seq = len(j.events) // JOB_STARTED came first
	}
	j.events = append(j.events, e)
	j.bytes += len(e.pcm)
	close(j.more)
	j.more = make(chan struct{})
	return true
}

// from returns the event of a number, if it is there, how many there are, and what is closed when there are more.
func (j *job) from(n int) (e event, ok bool, count int, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n < len(j.events) {
		e, ok = j.events[n], true
	}
	return e, ok, len(j.events), j.more
}

// over tells whether the last event is there, and how many bytes of sound there are.
func (j *job) over() (bool, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.isOver(), j.bytes
}

// isOver tells whether the last event is there. mu is held.
func (j *job) isOver() bool { return len(j.events) > 0 && j.events[len(j.events)-1].isLast() }

// stop cancels the job. Nothing is heard of it any more, and within a frame nobody works for it.
func (j *job) stop() {
	j.publish(event{kind: jobCanceled})
	j.cancel()
}

// speak is POST /v1/speak. The voice is looked up and loaded before the job that is spoken is ended.
func (d *Door) speak(r *http.Request, o *object) (any, error) {
	request, err := parseSpeak(o)
	if err != nil {
		return nil, err
	}
	if most := d.service.Limits().TextChars; utf8.RuneCountInString(request.text) > most {
		return nil, server.Refuse(server.TextTooLong, "the text is too long: at most %d characters", most)
	}
	if request.voice != builtIn && !d.voices.has(request.voice) {
		return nil, noVoice(request.voice)
	}
	if err := d.service.Ready(); err != nil {
		return nil, err
	}
	voice, free, err := d.load(r.Context(), request.voice)
	if err != nil {
		return nil, err
	}
	j := &job{
		id: newUUID(), request: request, chunks: cut(request.text, request.most), voice: voice, free: free, sampleRate: d.service.Engine().Info().SampleRate,
		ended: make(chan struct{}), more: make(chan struct{}), rate: request.rate, volume: request.volume,
	}
	if err := d.start(j); err != nil {
		j.free()
		return nil, err
	}
	return map[string]string{"job_id": j.id, "ws_url": streamURL(r, j.id)}, nil
}

// start makes a job the one that is spoken.
func (d *Door) start(j *job) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return server.Refuse(server.Closed, "The server is closing.")
	}
	j.name = d.known(d.voice)
	j.ctx, j.cancel = context.WithTimeoutCause(d.ctx, d.service.Limits().Time, errTime)
	before := d.active
	if before != nil {
		before.stop()
	}
	j.publish(event{kind: jobStarted})
	d.active, d.jobs = j, append(d.jobs, j)
	d.prune()
	d.group.Go(func() {
		defer close(j.ended)
		defer j.free()
		defer j.cancel()
		if before != nil {
			<-before.ended // a frame at most
		}
		d.run(j)
	})
	return nil
}

// prune forgets the oldest jobs that are over. mu is held.
func (d *Door) prune() {
	total := 0
	for _, j := range d.jobs {
		_, bytes := j.over()
		total += bytes
	}
	kept := d.jobs[:0]
	for n, j := range d.jobs {
		over, bytes := j.over()
		if over && (len(d.jobs)-n+len(kept) > jobsKept || total > soundKept) {
			total -= bytes
			continue
		}
		kept = append(kept, j)
	}
	clear(d.jobs[len(kept):])
	d.jobs = kept
}

// find finds a job that is kept.
func (d *Door) find(id string) (*job, error) {
	id, _ = parseUUID(strip(id))
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.jobs {
		if j.id == id {
			return j, nil
		}
	}
	return nil, noJob
}

var (
	noJob   = &refusal{http.StatusNotFound, codeJob, "There is no job of that id", nil}
	errTime = errors.New("the job took too long")
)

// run speaks the chunks of a job.
func (d *Door) run(j *job) {
	samples := 0
	for n, piece := range j.chunks {
		count, err := d.say(j, n, piece, samples)
		if err != nil {
			d.fail(j, err)
			return
		}
		samples += count
	}
	j.publish(event{kind: jobDone})
}

// fail ends a job that could not be spoken to its end.
func (d *Door) fail(j *job, err error) {
	if context.Cause(j.ctx) == errTime {
		err = server.Refuse(server.TimeUp, "%s", errTime)
	}
	problem := server.Explain(err)
	if problem.Problem == server.Cancelled || problem.Problem == server.Closed {
		j.publish(event{kind: jobCanceled})
		return
	}
	j.publish(event{kind: jobError, why: &refusal{code: codeInference, message: problem.Message}})
}

// say speaks a chunk and publishes its sound: whole, or in frames. It returns the number of samples; `before` are those of
// the chunks before it.
func (d *Door) say(j *job, index int, piece chunk, before int) (int, error) {
	j.mu.Lock()
	rate, volume := j.rate, j.volume
	j.mu.Unlock()
	sound := event{kind: audioChunk, index: index, chunk: piece}
	speech, err := d.service.Speak(j.ctx, server.Request{
		Door: "voicereader", Text: piece.text, Voice: j.name, Held: j.voice, Rate: float32(rate), TextChars: utf8.RuneCountInString(piece.text),
	})
	if err != nil {
		if server.Explain(err).Problem != server.TextEmpty {
			return 0, err
		}
		// Marks without a word: a breath, so that every piece of the text has its sound.
		breath := d.service.Engine().Info().SamplesPerFrame
		sound.pcm = make([]byte, 2*breath)
		j.publish(sound)
		return breath, nil
	}
	defer speech.Close()
	longest := d.service.Limits().Sound
	if longest == 0 {
		longest = soundOfJob
	}
	most, count := int(longest.Seconds()*float64(j.sampleRate)), 0
	for {
		samples, err := speech.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		if count += len(samples); before+count > most {
			return 0, server.Refuse(server.TooMuchSound, "the speech is longer than %s", longest)
		}
		sound.pcm = appendSound(sound.pcm, samples, float32(volume))
		if j.request.frames && len(sound.pcm) > 0 {
			j.publish(sound)
			sound.pcm = nil
		}
	}
	if !j.request.frames {
		j.publish(sound)
	}
	return count, nil
}

// appendSound appends samples at a volume, clipped.
func appendSound(to []byte, samples []float32, volume float32) []byte {
	if volume != 1 {
		louder := make([]float32, len(samples))
		for n, x := range samples {
			louder[n] = x * volume
		}
		samples = louder
	}
	return wav.AppendPCM(to, samples)
}

// cancelJob is POST /v1/cancel.
func (d *Door) cancelJob(_ *http.Request, o *object) (any, error) {
	id, err := parseJob(o)
	if err != nil {
		return nil, err
	}
	j, err := d.find(id)
	if err != nil {
		return nil, err
	}
	j.stop()
	return map[string]bool{"canceled": true}, nil
}

// playback is POST /v1/jobs/{id}/playback.
func (d *Door) playback(r *http.Request, o *object) (any, error) {
	change, err := parsePlayback(o)
	if err != nil {
		return nil, err
	}
	j, err := d.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.isOver() {
		return nil, noJob
	}
	if change.rate != nil {
		j.rate = *change.rate
	}
	if change.volume != nil {
		j.volume = *change.volume
	}
	return map[string]bool{"updated": true}, nil
}

// message is an event as clients read it.
func (j *job) message(e event) []byte {
	type audio struct {
		Format   string `json:"format"`
		Rate     int    `json:"sample_rate"`
		Channels int    `json:"channels"`
		Data     []byte `json:"data_base64"`
	}
	type textRange struct {
		Index int `json:"chunk_index"`
		Start int `json:"start_char"`
		End   int `json:"end_char"`
	}
	message := struct {
		Type  string     `json:"type"`
		Job   string     `json:"job_id"`
		Seq   int        `json:"seq,omitempty"`
		Audio *audio     `json:"audio,omitempty"`
		Range *textRange `json:"text_range,omitempty"`
		Error *errorBody `json:"error,omitempty"`
	}{Type: e.kind, Job: j.id, Seq: e.seq}
	switch e.kind {
	case audioChunk:
		data := e.pcm
		if data == nil {
			data = []byte{} // null is no base64
		}
		message.Audio = &audio{"pcm_s16le", j.sampleRate, 1, data}
		message.Range = &textRange{e.index, e.chunk.start, e.chunk.end}
	case jobError:
		body := e.why.body()
		message.Error = &body
	}
	return encode(message)
}

// Package callers is a program that uses `pocket-tts` as Go programs did when it was a Python program: it calls the binary with
// the text on stdin and the sound on stdout, or starts its server and posts forms to it. The flags are those of versions 2 and 4,
// as the wrappers for Go pass them; what is zero is not passed.
package callers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-audio/wav"
)

// Client calls a program, so many times at once at most.
type Client struct {
	Program, Voice, Config                    string
	Temperature, NoiseClamp, EOSThreshold     float64
	LSDDecodeSteps, FramesAfterEOS, MaxTokens int
	Quiet                                     bool
	Environment                               []string
	Log                                       io.Writer // of the server
	turns                                     chan struct{}
}

// NewClient lets so many processes run at once.
func NewClient(c Client, atOnce int) *Client {
	c.turns = make(chan struct{}, atOnce)
	return &c
}

// Sound is what came.
type Sound struct {
	Data                 []byte
	Rate                 uint32
	Channels, SampleBits uint16
}

// lastOfStderr is how much of it an error says.
const lastOfStderr = 512

// ExitError is a program that failed, or a server that said no.
type ExitError struct {
	Code int
	Text string
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d: %s", e.Code, e.Text) }

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func (c *Client) arguments() []string {
	args := []string{"generate", "--text", "-", "--output-path", "-"}
	add := func(given bool, flag, value string) {
		if given {
			args = append(args, flag, value)
		}
	}
	add(c.Voice != "", "--voice", c.Voice)
	add(c.Config != "", "--config", c.Config)
	add(c.Temperature != 0, "--temperature", decimal(c.Temperature))
	add(c.LSDDecodeSteps != 0, "--lsd-decode-steps", strconv.Itoa(c.LSDDecodeSteps))
	add(c.NoiseClamp != 0, "--noise-clamp", decimal(c.NoiseClamp))
	add(c.EOSThreshold != 0, "--eos-threshold", decimal(c.EOSThreshold))
	add(c.FramesAfterEOS != 0, "--frames-after-eos", strconv.Itoa(c.FramesAfterEOS))
	add(c.MaxTokens != 0, "--max-tokens", strconv.Itoa(c.MaxTokens))
	if c.Quiet {
		args = append(args, "--quiet")
	}
	return args
}

// run is one process: all of stdin, then all of stdout.
func (c *Client) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	cmd := exec.CommandContext(ctx, c.Program, args...)
	cmd.Env = c.Environment
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	switch text := stderr.Bytes(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case cmd.ProcessState == nil:
		return nil, err
	case err != nil:
		return nil, &ExitError{cmd.ProcessState.ExitCode(), string(text[max(0, len(text)-lastOfStderr):])}
	}
	return stdout.Bytes(), nil
}

// Generate speaks a text.
func (c *Client) Generate(ctx context.Context, text string) (*Sound, error) {
	data, err := c.run(ctx, []byte(text), c.arguments()...)
	if err != nil {
		return nil, err
	}
	return read(data)
}

// read has a decoder look at the header: what follows it is as long as it is.
func read(data []byte) (*Sound, error) {
	decoder := wav.NewDecoder(bytes.NewReader(data))
	if decoder.ReadInfo(); decoder.Err() != nil {
		return nil, decoder.Err()
	}
	return &Sound{data, decoder.SampleRate, decoder.NumChans, decoder.BitDepth}, nil
}

// ExportVoice makes a voice file.
func (c *Client) ExportVoice(ctx context.Context, audio, to string) error {
	args := []string{"export-voice", audio, to}
	if c.Config != "" {
		args = append(args, "--config", c.Config)
	}
	if c.Quiet {
		args = append(args, "--quiet")
	}
	_, err := c.run(ctx, nil, args...)
	return err
}

// Server is a process that serves.
type Server struct {
	address string
	process *exec.Cmd
}

// Start starts a server and asks every half second whether it is healthy.
func (c *Client) Start(ctx context.Context, host string, port int) (*Server, error) {
	args := []string{"serve", "--host", host, "--port", strconv.Itoa(port), "--no-reload"}
	if c.Voice != "" {
		args = append(args, "--voice", c.Voice)
	}
	if c.Config != "" {
		args = append(args, "--config", c.Config)
	}
	cmd := exec.CommandContext(ctx, c.Program, args...)
	cmd.Env, cmd.Stderr = c.Environment, c.Log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{fmt.Sprintf("http://%s:%d", host, port), cmd}
	for s.Health(ctx) != nil {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			s.Stop()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// Stop kills it.
func (s *Server) Stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// Health asks whether it speaks.
func (s *Server) Health(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+"/health", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &ExitError{response.StatusCode, ""}
	}
	return nil
}

// Generate posts a form. The voice is the server's own, one at an address, or one in a file.
func (s *Server) Generate(ctx context.Context, text, voiceURL, voiceFile string) (*Sound, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("text", text) // a buffer takes everything
	if voiceURL != "" {
		_ = form.WriteField("voice_url", voiceURL)
	}
	if voiceFile != "" {
		data, err := os.ReadFile(voiceFile)
		if err != nil {
			return nil, err
		}
		part, _ := form.CreateFormFile("voice_wav", filepath.Base(voiceFile))
		_, _ = part.Write(data)
	}
	_ = form.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/tts", &body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &ExitError{response.StatusCode, string(data[:min(len(data), lastOfStderr)])}
	}
	return read(data)
}

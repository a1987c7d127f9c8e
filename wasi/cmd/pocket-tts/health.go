// The command health: whether a server speaks, for whoever starts servers and has no other program at hand.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/wyoming"
)

const (
	healthUsage = "health [ADDRESS...] [OPTIONS]"
	healthAbout = `Asks a server whether it speaks. Exit code 0: one of the addresses does. An address is http://HOST:PORT (serve, and its door
local), tcp://HOST:PORT (wyoming), or the word wyoming: where WYOMING_HOST and WYOMING_PORT let it listen.
Default: POCKET_TTS_HEALTH of the environment, addresses with spaces between them, else ` + healthDefault
	healthDefault = "http://127.0.0.1:8000"
	healthBytes   = 1 << 20 // of an answer
	mostAddresses = 16
)

func newHealthFlags(wait *time.Duration) *pflag.FlagSet {
	*wait = 3 * time.Second
	flags := newFlagSet("health")
	flags.Var(&value{kind: "SECONDS", shown: "3", set: func(text string) error {
		seconds, err := parseFloat(strings.TrimSpace(text))
		if err == nil && !(seconds > 0 && seconds <= 3600) {
			err = fmt.Errorf("'%s' is not more than 0 and at most 3600", text)
		}
		*wait = max(1, time.Duration(math.Round(1000*float64(seconds)))) * time.Millisecond
		return err
	}}, "timeout", "How long the answer may take")
	return flags
}

// health is the command.
func health(ctx context.Context, args []string) error {
	var wait time.Duration
	flags := newHealthFlags(&wait)
	if done, err := parseCommand(flags, healthUsage, healthAbout, args, slices.Repeat([]string{"[ADDRESS]"}, mostAddresses)...); done || err != nil {
		return err
	}
	addresses := flags.Args()
	if len(addresses) == 0 {
		addresses = strings.Fields(environment("POCKET_TTS_HEALTH", healthDefault))
	}
	asks := make([]func(context.Context) error, len(addresses))
	for n, address := range addresses {
		var err error
		if asks[n], err = healthOf(address); err != nil {
			return err
		}
	}
	limit, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answers := make(chan error, len(asks))
	for n, ask := range asks {
		go func() {
			err := ask(limit)
			switch {
			case err != nil && limit.Err() != nil:
				err = failf("%s: no answer within %s", addresses[n], wait)
			case err != nil:
				err = failf("%s: %s", addresses[n], err)
			}
			answers <- err
		}()
	}
	var problems []string
	for range asks {
		err := <-answers
		if err == nil {
			_, err = fmt.Println("healthy")
			return err
		}
		problems = append(problems, err.Error())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	slices.Sort(problems)
	return failf("%s", strings.Join(problems, "; "))
}

// healthOf is how an address is asked.
func healthOf(address string) (ask func(context.Context) error, err error) {
	if address == "wyoming" {
		settings, err := wyoming.Environment(os.Getenv)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			return askWyoming(ctx, net.JoinHostPort(settings.Host, settings.Port))
		}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp" {
		return nil, failf("%s: expected http://HOST:PORT, tcp://HOST:PORT or wyoming", address)
	}
	if u.Scheme == "tcp" {
		return func(ctx context.Context) error { return askWyoming(ctx, u.Host) }, nil
	}
	return func(ctx context.Context) error { return askHTTP(ctx, u) }, nil
}

// askHTTP asks for /health, which tells the truth.
func askHTTP(ctx context.Context, address *url.URL) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.JoinPath("health").String(), nil)
	if err != nil {
		return err
	}
	// Straight there: a proxy of the environment knows another 127.0.0.1.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Status  string `json:"status"`
		Success bool   `json:"success"` // of the door local, as what follows
		Data    any    `json:"data"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, healthBytes)).Decode(&answer); err != nil {
		return fmt.Errorf("HTTP status %d, and not the answer of this server", response.StatusCode)
	}
	if response.StatusCode == http.StatusOK && (answer.Status == "healthy" || answer.Success && answer.Data == "healthy") {
		return nil
	}
	return fmt.Errorf("HTTP status %d, %.200q", response.StatusCode, answer.Status+answer.Error)
}

// askWyoming asks a server of the protocol what it is.
func askWyoming(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, `{"type": "describe"}`+"\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, healthBytes)).ReadBytes('\n')
	if err != nil {
		return err
	}
	var event struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &event); err != nil || event.Type != "info" {
		return fmt.Errorf("expected the event info, found %.60q", line)
	}
	return nil
}

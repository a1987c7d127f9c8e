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
	"strings"
	"time"
)

const (
	healthUsage   = "health [ADDRESS] [OPTIONS]"
	healthAbout   = "Asks a server whether it speaks: http://HOST:PORT (serve) or tcp://HOST:PORT (wyoming). Exit code 0: it does.\nDefault: " + healthDefault
	healthDefault = "http://127.0.0.1:8000"
	healthBytes   = 1 << 20 // of an answer
)

// health is the command.
func health(ctx context.Context, args []string) error {
	wait := 3 * time.Second
	flags := newFlagSet("health")
	flags.Var(&value{kind: "SECONDS", shown: "3", set: func(text string) error {
		seconds, err := parseFloat(strings.TrimSpace(text))
		if err == nil && !(seconds > 0 && seconds <= 3600) {
			err = fmt.Errorf("'%s' is not more than 0 and at most 3600", text)
		}
		wait = max(1, time.Duration(math.Round(1000*float64(seconds)))) * time.Millisecond
		return err
	}}, "timeout", "How long the answer may take")
	if done, err := parseCommand(flags, healthUsage, healthAbout, args, "[ADDRESS]"); done || err != nil {
		return err
	}
	address := flags.Arg(0)
	if address == "" {
		address = healthDefault
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp" {
		return failf("%s: expected http://HOST:PORT or tcp://HOST:PORT", address)
	}
	limit, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ask := askHTTP
	if u.Scheme == "tcp" {
		ask = askWyoming
	}
	err = ask(limit, u)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limit.Err() != nil:
		return failf("%s: no answer within %s", address, wait)
	case err != nil:
		return failf("%s: %s", address, err)
	}
	_, err = fmt.Println("healthy")
	return err
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
		Status string `json:"status"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, healthBytes)).Decode(&answer); err != nil {
		return fmt.Errorf("HTTP status %d, and not the answer of this server", response.StatusCode)
	}
	if response.StatusCode != http.StatusOK || answer.Status != "healthy" {
		return fmt.Errorf("HTTP status %d, %q", response.StatusCode, answer.Status)
	}
	return nil
}

// askWyoming asks a server of the protocol what it is.
func askWyoming(ctx context.Context, address *url.URL) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.Host)
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

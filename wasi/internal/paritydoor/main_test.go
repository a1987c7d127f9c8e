package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// exchange sends requests, each a line of JSON and its payloads, and returns the answers with their payloads.
func exchange(t *testing.T, requests ...string) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	if err := serve(t.Context(), strings.NewReader(strings.Join(requests, "")), &out); err != nil {
		t.Fatal(err)
	}
	var answers []map[string]any
	for r := bufio.NewReader(&out); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return answers
		}
		var answer map[string]any
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		payloads := [][]byte{}
		for _, length := range answer["bytes"].([]any) {
			data := make([]byte, int(length.(float64)))
			if _, err := io.ReadFull(r, data); err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, data)
		}
		answer["payloads"] = payloads
		answers = append(answers, answer)
	}
}

func TestDoorAnswersAndGoesOn(t *testing.T) {
	samples := strings.Repeat("\x00\x00\x00\x3f", 480) // 0.5
	answers := exchange(t,
		`{"id":1,"verb":"hello"}`+"\n",
		`{"id":2,"verb":"dance"}`+"\n",
		`{"id":3,"verb":"model.open","bytes":[2,0]}`+"\n{}",
		`{"id":4,"verb":"normals","seed":1,"temperature":1,"clamp":0,"widths":[16,32]}`+"\n",
		fmt.Sprintf(`{"id":5,"verb":"resample","from":24000,"to":48000,"bytes":[%d]}`, len(samples))+"\n"+samples,
	)
	if len(answers) != 5 {
		t.Fatalf("%d answers to 5 requests", len(answers))
	}
	for n, answer := range answers {
		if int(answer["id"].(float64)) != n+1 {
			t.Errorf("answer %d has id %v", n+1, answer["id"])
		}
	}
	if answers[0]["door"] != "go" || answers[0]["version"] == "" {
		t.Errorf("hello: %v", answers[0])
	}
	if refusal := answers[1]["error"].(map[string]any); refusal["name"] != "UNSUPPORTED" || refusal["message"] != "dance" {
		t.Errorf("unknown verb: %v", answers[1])
	}
	if refusal := answers[2]["error"].(map[string]any); refusal["name"] != "PTTS_ERROR_CONFIG" || refusal["status"] != -4.0 || refusal["message"] == "" {
		t.Errorf("an empty configuration: %v", answers[2])
	}
	if data := answers[3]["payloads"].([][]byte)[0]; len(data) != 4*48 {
		t.Errorf("normals: %d bytes", len(data))
	}
	q := request{payloads: answers[4]["payloads"].([][]byte)}
	if doubled := q.floats(0); len(doubled) != 960 || math.Abs(float64(doubled[480])-0.5) > 0.01 {
		t.Errorf("resampled: %d samples", len(doubled))
	}
}

func TestDoorEndsWithABrokenRequest(t *testing.T) {
	for _, in := range []string{"hello\n", `{"id":1,"verb":"hello"}`, `{"id":1,"verb":"hello","bytes":[5]}` + "\nabc"} {
		if err := serve(t.Context(), strings.NewReader(in), io.Discard); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

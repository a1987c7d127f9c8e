//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// names lists a folder.
func names(t *testing.T, folder string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// TestExportThatIsKilled while it writes leaves the file that was there, or the new one, whole; and nothing that a server would
// take for a voice.
func TestExportThatIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program many times")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "mine.safetensors")
	export := append([]string{"export-voice", fixture + "/voice.safetensors", path, "-q"}, model[:2]...)
	if r := runWith(t, "", export...); r.code != 0 {
		t.Fatalf("%s", r.stderr)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := []byte("an older voice")
	midway, replaced := 0, 0
	for n := range 12 {
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := process(t, export...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It has begun to write when there is another file.
		for end := time.Now().Add(20 * time.Second); len(names(t, folder)) < 2; {
			if data, _ := os.ReadFile(path); !bytes.Equal(data, old) {
				break // it was quicker
			}
			if time.Now().After(end) {
				t.Fatal("nothing is written")
			}
		}
		time.Sleep(time.Duration(n) * 200 * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		data, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(data, want):
			replaced++
		case err == nil && bytes.Equal(data, old):
		default:
			t.Errorf("%d bytes of a voice of %d, %v", len(data), len(want), err)
		}
		for _, name := range names(t, folder) {
			if name == filepath.Base(path) {
				continue
			}
			midway++
			if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".tmp") {
				t.Errorf("it left %s", name)
			}
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("killed in the middle %d times, behind it %d times, of 12", midway, replaced)
	if midway == 0 {
		t.Error("it was never killed while it wrote: this test proves nothing")
	}
}

// TestServerThatIsKilled while voices are uploaded leaves nothing on the disk: neither in the folder of voices nor where
// programs keep what is temporary.
func TestServerThatIsKilled(t *testing.T) {
	voices, temporary := t.TempDir(), t.TempDir()
	s := startServerIn(t, []string{"TMPDIR=" + temporary}, append([]string{"--voices-dir", voices}, model...)...)
	data, err := os.ReadFile(fixture + "/voice.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("text", strings.Repeat("This is spoken for a while. ", 50))
	part, err := form.CreateFormFile("voice_wav", "../mine.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(data)
	_ = form.Close()
	address := strings.TrimPrefix(s.address, "http://")
	send := func(bytes []byte) net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", form.FormDataContentType(), body.Len()); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(bytes)
		return conn
	}
	half, spoken := send(body.Bytes()[:body.Len()/2]), send(body.Bytes())
	defer half.Close()
	defer spoken.Close()
	if _, err := io.ReadFull(spoken, make([]byte, 4000)); err != nil {
		t.Fatalf("%v: %s", err, s.logged())
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if left := append(names(t, voices), names(t, temporary)...); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
}

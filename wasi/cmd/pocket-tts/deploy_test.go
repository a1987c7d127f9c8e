//go:build linux

package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/wyoming"
)

// The files in deploy/ are read, and done by hand: what a Dockerfile copies and runs becomes a folder, and where the test is
// root the program is started in it as in a container, with nothing else in its file system, as the user and with the
// environment of the image. What is not tried is the container engine itself.

const (
	repository = "../../.."
	deployment = repository + "/deploy/"
)

// image is what the Dockerfile makes.
type image struct {
	root                         string
	env                          []string
	workdir                      string
	uid, gid                     int
	volumes, ports               []string
	entrypoint, command, healthy []string
}

// instructions are the lines of a Dockerfile: a word, and the rest.
func instructions(t *testing.T) (all [][2]string) {
	t.Helper()
	data, err := os.ReadFile(deployment + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(data), "\\\n", "")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			name, rest, _ := strings.Cut(line, " ")
			all = append(all, [2]string{name, rest})
		}
	}
	return all
}

func words(t *testing.T, text string) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		t.Fatalf("%s: expected a list in JSON: %v", text, err)
	}
	return words
}

// ofBuild are paths of the first stage that are made up here; the others are those of the repository.
var ofBuild = regexp.MustCompile(`(^|[ =])/(image|writable)\b`)

// build does what the Dockerfile says, in two folders: one for the first stage, one for the image.
func build(t *testing.T, stage, root string) *image {
	t.Helper()
	i := &image{root: root, workdir: "/"}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	sent, err := os.ReadFile(deployment + "Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	last, workdir := false, "/"
	for _, one := range instructions(t) {
		name, rest := one[0], one[1]
		switch name {
		case "FROM":
			if last = strings.HasPrefix(rest, "scratch"); !last && !strings.HasSuffix(rest, " AS build") {
				t.Fatalf("FROM %s", rest)
			}
		case "WORKDIR":
			if workdir = rest; last {
				i.workdir = rest
			}
		case "COPY":
			parts := strings.Fields(rest)
			to := parts[len(parts)-1]
			if last {
				i.copyIn(t, stage, parts)
				continue
			}
			for _, from := range parts[:len(parts)-1] {
				if top, _, _ := strings.Cut(from, "/"); !slices.Contains(strings.Fields(string(sent)), "!"+top) {
					t.Errorf("COPY %s: .dockerignore leaves it out", from)
				}
				if ofBuild.MatchString(to) {
					data, err := os.ReadFile(filepath.Join(repository, from))
					err = errors.Join(err, os.MkdirAll(filepath.Join(stage, to), 0o755), os.WriteFile(filepath.Join(stage, to, from), data, 0o644))
					if err != nil {
						t.Fatal(err)
					}
				} else if _, err := os.Stat(filepath.Join(repository, from)); err != nil {
					t.Error(err)
				}
			}
		case "RUN":
			if rest == "go mod download" { // here they are
				continue
			}
			cmd := exec.Command("sh", "-ec", ofBuild.ReplaceAllString(rest, "${1}"+stage+"/$2"))
			cmd.Dir = filepath.Join(repository, strings.TrimPrefix(workdir, "/src"))
			cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH)
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", rest, err, output)
			}
		case "ENV":
			i.env = append(i.env, strings.ReplaceAll(rest, `"`, ""))
		case "VOLUME":
			i.volumes = append(i.volumes, rest)
		case "EXPOSE":
			i.ports = strings.Fields(rest)
		case "USER":
			if _, err := fmt.Sscanf(rest, "%d:%d", &i.uid, &i.gid); err != nil || i.uid == 0 {
				t.Errorf("USER %s: %v", rest, err)
			}
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, "CMD ")
			i.healthy = words(t, command)
		case "ENTRYPOINT":
			i.entrypoint = words(t, rest)
		case "CMD":
			i.command = words(t, rest)
		case "ARG":
		default:
			t.Errorf("%s: nobody here knows what that does", name)
		}
	}
	return i
}

// copyIn is COPY --from=build [--chown=UID:GID] FOLDER/ /.
func (i *image) copyIn(t *testing.T, stage string, parts []string) {
	t.Helper()
	from, to := parts[len(parts)-2], parts[len(parts)-1]
	if err := os.CopyFS(filepath.Join(i.root, to), os.DirFS(filepath.Join(stage, from))); err != nil {
		t.Fatal(err)
	}
	for _, option := range parts[:len(parts)-2] {
		var uid, gid int
		if _, err := fmt.Sscanf(option, "--chown=%d:%d", &uid, &gid); err != nil || os.Geteuid() != 0 {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(stage, from))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := os.Chown(filepath.Join(i.root, to, entry.Name()), uid, gid); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// run is a process in a container of the image.
func (i *image) run(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	// What the engines add.
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"}, append(i.env, env...)...)
	cmd.Dir = i.workdir
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)}}
		return cmd
	}
	cmd.Path, cmd.Dir = filepath.Join(i.root, args[0]), filepath.Join(i.root, i.workdir)
	for n, one := range cmd.Env {
		if name, value, _ := strings.Cut(one, "="); slices.Contains(i.volumes, value) {
			cmd.Env[n] = name + "=" + filepath.Join(i.root, value)
		}
	}
	return cmd
}

var (
	building sync.Mutex
	built    *image
)

// theImage is built once, and lies beside the program of the other tests.
func theImage(t *testing.T) *image {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program once more")
	}
	building.Lock()
	defer building.Unlock()
	if built == nil {
		built = build(t, filepath.Join(filepath.Dir(program), "stage"), filepath.Join(filepath.Dir(program), "image"))
	}
	return built
}

// ask runs the health check of a container.
func (i *image) ask(t *testing.T, env, check []string) result {
	t.Helper()
	return finish(t, i.run(t, env, check...), "")
}

// onPort gives a server another port than its own where that one is taken on this machine, and says which it has.
func onPort(t *testing.T, args, check []string, port string) (_, _ []string, at string) {
	t.Helper()
	listener, err := net.Listen("tcp", ":"+port)
	if err == nil {
		listener.Close()
		return args, check, port
	}
	free := freePort(t)
	t.Logf("port %s is taken here: %s instead", port, free)
	return append(slices.Clone(args), "--port", free), append(slices.Clone(check), "http://127.0.0.1:"+free), free
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

const spokenHere = "Hello world."

// speaks checks that a server says what the command line says.
func speaks(t *testing.T, address string) {
	t.Helper()
	want := runWith(t, "", "generate", "-q", "--text", spokenHere, "--output-path", "-")
	response, data := post(t, address, url.Values{"text": {spokenHere}})
	if response.StatusCode != http.StatusOK || len(want.stdout) < 44+9600+3840 || !bytes.Equal(data, want.stdout) {
		t.Errorf("%s: %d bytes, want %d", response.Status, len(data), len(want.stdout))
	}
}

func TestImage(t *testing.T) {
	i := theImage(t)
	program := filepath.Join(i.root, i.entrypoint[0])
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, _ := file.ImportedLibraries()
	if interpreted := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }); interpreted || len(libraries) > 0 {
		t.Errorf("it is not static: %v", libraries)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath=true"} {
		if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key+"="+s.Value == want }) {
			t.Errorf("not built with %s: %v", want, info.Settings)
		}
	}
	// Besides it there are texts, and folders that are empty.
	_ = filepath.WalkDir(i.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
		} else if info, err := entry.Info(); err == nil && entry.Type().IsRegular() && path != program && info.Mode()&0o111 != 0 {
			t.Errorf("%s can be run", path)
		}
		return nil
	})
	args, check, port := onPort(t, append(slices.Clone(i.entrypoint), i.command...), i.healthy, i.ports[0])
	s := launch(t, i.run(t, nil, args...), listening)
	speaks(t, "http://127.0.0.1:"+port)
	if r := i.ask(t, nil, check); r.code != 0 || string(r.stdout) != "healthy\n" || len(r.stderr) != 0 {
		t.Errorf("health: exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d: %s", code, s.logged())
	}
	if strings.Contains(s.logged(), "cache") {
		t.Errorf("%s", s.logged())
	}
	if compiled, _ := filepath.Glob(filepath.Join(i.root, i.volumes[0], "pocket-tts-wasm", "wazero", "*")); len(compiled) == 0 {
		t.Error("compiled code is not kept in the volume")
	}
	if r := i.ask(t, nil, check); r.code != exitFailed || len(r.stdout) != 0 {
		t.Errorf("after its end: exit %d, %q", r.code, r.stdout)
	}
}

// service is one of the compose file.
type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Command     []string
	Volumes     []string
	Environment map[string]string
	Ports       []string
	Healthcheck struct{ Test []string }
	ReadOnly    bool `yaml:"read_only"`
}

var variable = regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`)

// compose reads the file with these variables in its environment.
func compose(t *testing.T, variables map[string]string) map[string]service {
	t.Helper()
	data, err := os.ReadFile(deployment + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	filled := variable.ReplaceAllStringFunc(string(data), func(text string) string {
		parts := variable.FindStringSubmatch(text)
		if value := variables[parts[1]]; value != "" {
			return value
		}
		return parts[2]
	})
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal([]byte(filled), &file); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(filled, "${") || len(file.Services) != 2 {
		t.Fatalf("%d services\n%s", len(file.Services), filled)
	}
	return file.Services
}

// TestCompose starts the services: with nothing set, and with what the compose files of other servers set.
func TestCompose(t *testing.T) {
	i := theImage(t)
	port := freePort(t)
	set := map[string]string{
		"WYOMING_PORT": port, "WYOMING_HOST": "127.0.0.2", "DEFAULT_VOICE": "slt", "DEBUG_WAV": "true", "PREFIX_MIN_DURATION": "0.1",
		"PREFIX_MAX_DURATION": "1.0", "PREFIX_SILENCE_GAP": "0.08", "POCKET_TTS_API_KEY": "secret", "FIRST_CHUNK_LENGTH_SECONDS": "0.5",
	}
	for name, variables := range map[string]map[string]string{"as it is": {"WYOMING_PORT": port}, "with everything": set} {
		services := compose(t, variables)
		for kind, s := range services {
			t.Run(name+", "+kind, func(t *testing.T) { i.service(t, kind, s, variables) })
		}
	}
	// Whatever the server of the protocol reads can be set.
	settings := compose(t, nil)["wyoming"].Environment
	if _, err := wyoming.Environment(func(name string) string {
		if _, ok := settings[name]; !ok {
			t.Errorf("compose.yaml: wyoming: %s is missing", name)
		}
		return settings[name]
	}); err != nil {
		t.Error(err)
	}
}

// service starts a service and talks to it.
func (i *image) service(t *testing.T, kind string, s service, variables map[string]string) {
	if s.Image == "" || !s.ReadOnly || s.Build.Context != ".." || s.Build.Dockerfile != "deploy/Dockerfile" {
		t.Errorf("%+v", s)
	}
	for _, volume := range s.Volumes {
		if _, at, _ := strings.Cut(volume, ":"); !slices.Contains(i.volumes, at) {
			t.Errorf("volume %s: the image has %v", volume, i.volumes)
		}
	}
	var env []string
	for name, value := range s.Environment {
		env = append(env, name+"="+value)
	}
	command, check := s.Command, i.healthy
	if command == nil {
		command = i.command
	}
	if len(s.Healthcheck.Test) > 0 {
		if s.Healthcheck.Test[0] != "CMD" {
			t.Fatalf("there is no shell for %v", s.Healthcheck.Test)
		}
		check = s.Healthcheck.Test[1:]
	}
	args, pattern := append(slices.Clone(i.entrypoint), command...), wyomingListens
	var port string
	if kind == "http" {
		pattern = listening
		mapped := s.Ports[0][strings.LastIndex(s.Ports[0], ":")+1:]
		if !slices.Contains(i.ports, mapped) {
			t.Errorf("ports %v: the image has %v", s.Ports, i.ports)
		}
		args, check, port = onPort(t, args, check, mapped)
	}
	server := launch(t, i.run(t, env, args...), pattern)
	if kind == "http" {
		address := "http://127.0.0.1:" + port
		if variables["POCKET_TTS_API_KEY"] == "" {
			speaks(t, address)
			namesAreChecked(t, port)
		} else if response, _ := post(t, address, url.Values{"text": {spokenHere}}); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("without the key: %s", response.Status)
		}
	} else {
		conn, err := net.Dial("tcp", net.JoinHostPort(cmp.Or(variables["WYOMING_HOST"], "127.0.0.1"), variables["WYOMING_PORT"]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, request)
		if kinds, _, pcm := wyomingAnswer(t, conn); kinds != answered || len(pcm) < 3840 {
			t.Errorf("%s, %d bytes of sound", kinds, len(pcm))
		}
	}
	if r := i.ask(t, env, check); r.code != 0 {
		t.Errorf("health: exit %d, %q", r.code, r.stderr)
	}
	if code := server.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d: %s", code, server.logged())
	}
	if r := i.ask(t, env, check); r.code != exitFailed {
		t.Errorf("after its end: exit %d", r.code)
	}
	recordings, _ := filepath.Glob(filepath.Join(i.root, i.workdir, "output", "debug_*.wav"))
	if want := kind == "wyoming" && variables["DEBUG_WAV"] != ""; want && len(recordings) != 1 {
		t.Errorf("recordings: %v", recordings)
	}
}

// namesAreChecked asks where others than this machine can, as a container is asked through a port of this machine.
func namesAreChecked(t *testing.T, port string) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(addresses, func(a net.Addr) bool {
		one, ok := a.(*net.IPNet)
		return ok && one.IP.To4() != nil && one.IP.IsGlobalUnicast()
	})
	if n < 0 {
		t.Log("this machine has no address but its own")
		return
	}
	at := net.JoinHostPort(addresses[n].(*net.IPNet).IP.String(), port)
	for host, want := range map[string]int{"evil.example": 403, "http:8000": 200, "localhost:8000": 200, "127.0.0.1:8000": 200, at: 200} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Host: %s: %s", host, response.Status)
		}
	}
}

// unitFile reads the settings of the unit, of which some come more than once.
func unitFile(t *testing.T) (text string, settings map[string][]string) {
	t.Helper()
	data, err := os.ReadFile(deployment + "pocket-tts@.service")
	if err != nil {
		t.Fatal(err)
	}
	settings = map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(line, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	return string(data), settings
}

func TestUnit(t *testing.T) {
	i := theImage(t)
	program := filepath.Join(i.root, i.entrypoint[0])
	text, unit := unitFile(t)
	const installed = "/usr/local/bin/pocket-tts"
	for _, instance := range []string{"serve", "wyoming"} {
		t.Run(instance, func(t *testing.T) {
			folder := t.TempDir()
			specifiers := strings.NewReplacer("%i", instance, "%S", folder+"/lib", "%C", folder+"/cache", installed, program)
			for kind, names := range map[string][]string{"lib": unit["StateDirectory"], "cache": unit["CacheDirectory"]} {
				if err := os.MkdirAll(filepath.Join(folder, kind, names[0]), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			// What an administrator writes into the environment file.
			env := []string{"HOME=/", "OPTIONS=--port 0"}
			for _, one := range unit["Environment"] {
				env = append(env, specifiers.Replace(one))
			}
			var args []string
			for _, word := range strings.Fields(unit["ExecStart"][0]) {
				if word == "$OPTIONS" {
					args = append(args, "--port", "0")
					continue
				}
				args = append(args, specifiers.Replace(word))
			}
			cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
			cmd.Env, cmd.Dir = env, specifiers.Replace(unit["WorkingDirectory"][0])
			pattern, scheme := listening, ""
			if instance == "wyoming" {
				pattern, scheme = wyomingListens, "tcp://"
			}
			s := launch(t, cmd, pattern)
			if instance == "serve" {
				speaks(t, s.address)
			}
			if r := runWith(t, "", "health", scheme+s.address); r.code != 0 {
				t.Errorf("health: %q", r.stderr)
			}
			if code := s.stop(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit %d: %s", code, s.logged())
			}
			if compiled, _ := filepath.Glob(folder + "/cache/pocket-tts/pocket-tts-wasm/wazero/*"); len(compiled) == 0 {
				t.Error("compiled code is not kept")
			}
			verifyUnit(t, strings.ReplaceAll(text, installed, program), instance)
		})
	}
}

// exposed is how open a unit may be, in tenths of what systemd counts; 100 is one without any protection.
const exposed = 20

// verifyUnit asks systemd what it thinks of the unit.
func verifyUnit(t *testing.T, text, instance string) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze here")
		return
	}
	path := filepath.Join(t.TempDir(), "pocket-tts@"+instance+".service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || strings.Contains(string(output), "pocket-tts") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
	output, err := exec.Command("systemd-analyze", "security", "--offline=yes", fmt.Sprintf("--threshold=%d", exposed), path).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, output)
	}
}

func TestHealthUsage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	silent := listener.Addr().String() // takes connections and says nothing
	other := http.Server{Handler: http.NotFoundHandler()}
	strange, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = other.Serve(strange) }()
	defer other.Close()
	for line, want := range map[string]struct {
		code int
		says string
	}{
		"--timeout 0": {2, "Invalid value for '--timeout': '0' is not more than 0 and at most 3600."},
		strings.Repeat("a ", mostAddresses) + "b": {2, "Got unexpected extra argument (b)"},
		"localhost:8000":                                                            {1, "localhost:8000: expected http://HOST:PORT, tcp://HOST:PORT or wyoming"},
		"http://" + silent + " --timeout 0.2":                                       {1, "no answer within 200ms"},
		"tcp://" + silent + " --timeout 0.2":                                        {1, "no answer within 200ms"},
		"http://" + strange.Addr().String():                                         {1, "HTTP status 404, and not the answer of this server"},
		"tcp://" + strange.Addr().String():                                          {1, "expected the event info, found "},
		"http://127.0.0.1:" + freePort(t):                                           {1, "connection refused"},
		"http://127.0.0.1:8000/x y":                                                 {1, "y: expected http://HOST:PORT"},
		"http://" + silent + " tcp://" + strange.Addr().String() + " --timeout 0.2": {1, "no answer within 200ms; tcp://" + strange.Addr().String() + ": expected the event info"},
		"tcp://127.0.0.1:" + freePort(t) + " --bogus":                               {2, "No such option: --bogus"},
	} {
		r := runWith(t, "", append([]string{"health"}, strings.Fields(line)...)...)
		if r.code != want.code || len(r.stdout) != 0 || !strings.Contains(string(r.stderr), want.says) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want %q", line, r.code, r.stdout, r.stderr, want.says)
		}
	}
}

// TestHealthOfEveryServer: wherever the image's own check has to look for the one that runs.
func TestHealthOfEveryServer(t *testing.T) {
	cmd := process(t, append([]string{"serve", "--port", "0", "--with", "local,wyoming", "--local-address", "127.0.0.1:0"}, model...)...)
	cmd.Env = append(cmd.Env, "WYOMING_PORT=0")
	s := launch(t, cmd, listening)
	at := map[string]string{"http": s.address}
	for _, found := range regexp.MustCompile(`Listening on (\S+) \((local|wyoming)\)`).FindAllStringSubmatch(s.logged(), -1) {
		at[found[2]] = found[1]
	}
	nothing := "http://127.0.0.1:" + freePort(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(at["wyoming"], "tcp://"))
	if err != nil {
		t.Fatalf("%v: %s", err, s.logged())
	}
	for _, one := range []struct{ line, env string }{
		{at["http"], ""}, {at["local"], ""}, {at["wyoming"], ""}, {"wyoming", "WYOMING_PORT=" + port}, {nothing + " wyoming", "WYOMING_PORT=" + port},
		{nothing + " " + at["local"], ""}, {"", "POCKET_TTS_HEALTH=" + nothing + " " + at["wyoming"]},
	} {
		if r := with(t, []string{one.env}, append([]string{"health"}, strings.Fields(one.line)...)...); r.code != 0 || string(r.stdout) != "healthy\n" {
			t.Errorf("%s (%s): exit %d, %q", one.line, one.env, r.code, r.stderr)
		}
	}
	if r := with(t, []string{"POCKET_TTS_HEALTH=" + nothing}, "health"); r.code != exitFailed {
		t.Errorf("nobody there: exit %d, %q", r.code, r.stdout)
	}
}

// Package guest runs the WebAssembly engine under wazero: one Go method per function of pocket_tts.h, Go slices in
// and out, statuses as errors.
//
//	module, err := guest.Compile(ctx, guest.Config{MaxMemory: 1 << 30})
//	instance, err := module.Instantiate(ctx)
//	pack, err := instance.PackOpen(ctx, config, guest.PartAll, guest.PrecisionF32)
//	...                                          // the call sequence of pocket_tts.h
//	instance.Close(ctx); module.Close(ctx)
//
// The guest gets nothing but its own memory: the module has no imports, so there is no file system, environment,
// argument, clock, random source or socket that could be given. An Instance belongs to one goroutine at a time.
package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/cpu"
)

const pageSize = 1 << 16

// Config says how to compile the guest and what an instance may take.
type Config struct {
	// CacheDir keeps compiled code between runs; empty compiles anew every time.
	CacheDir string
	// MaxMemory is the most linear memory of an instance in bytes, at most 4 GiB; rounded down to 64 KiB pages.
	MaxMemory uint64
	// Logger hears, in detail, of a cache that cannot be used; nil is silence.
	Logger *slog.Logger
}

// Module is the compiled guest. It can be instantiated any number of times.
type Module struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	limit    uint64
}

// Compile compiles the embedded guest module, or takes the result of an earlier run out of the cache.
func Compile(ctx context.Context, config Config) (*Module, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.CacheDir != "" {
		module, err := compileCached(ctx, config)
		if err == nil || errors.Is(err, ErrUnsupported) {
			return module, err
		}
		config.Logger.Debug("compiled code is not cached", "folder", config.CacheDir, "reason", err)
	}
	return compile(ctx, config, nil)
}

func compile(ctx context.Context, config Config, cache wazero.CompilationCache) (m *Module, err error) {
	if !hasCompiler() {
		return nil, fmt.Errorf("%w (%s/%s)", ErrUnsupported, runtime.GOOS, runtime.GOARCH)
	}
	fresh := &Module{cache: cache, limit: config.MaxMemory / pageSize * pageSize}
	defer func() {
		// wazero 1.12 panics where the system gives out no executable memory.
		if refusal := recover(); refusal != nil {
			m, err = nil, fmt.Errorf("compiling the guest module: %v", refusal)
		}
		if err != nil {
			_ = fresh.Close(ctx)
		}
	}()
	runtimeConfig := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(uint32(fresh.limit / pageSize))
	if cache != nil {
		runtimeConfig = runtimeConfig.WithCompilationCache(cache)
	}
	fresh.runtime = wazero.NewRuntimeWithConfig(ctx, runtimeConfig)
	workers := experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	fresh.compiled, err = fresh.runtime.CompileModule(workers, moduleBytes)
	if err != nil {
		return nil, fmt.Errorf("compiling the guest module: %w", err)
	}
	return fresh, nil
}

// hasCompiler is true where wazero 1.12 has one; asked for elsewhere, it panics.
func hasCompiler() bool {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd", "netbsd", "windows":
		return runtime.GOARCH == "arm64" || runtime.GOARCH == "amd64" && cpu.X86.HasSSE41
	case "dragonfly", "solaris", "illumos":
		return runtime.GOARCH == "amd64" && cpu.X86.HasSSE41
	}
	return false
}

// Close frees the compiled code and every instance that is still open.
func (m *Module) Close(ctx context.Context) error {
	var err error
	if m.runtime != nil {
		err = m.runtime.Close(ctx)
	}
	if m.cache != nil {
		if cacheErr := m.cache.Close(ctx); err == nil {
			err = cacheErr
		}
	}
	return err
}

// Instantiate makes a fresh instance: its own memory, nothing loaded.
func (m *Module) Instantiate(ctx context.Context) (*Instance, error) {
	// Memory is reserved where wazero asks for it, and given back when the instance closes.
	memory := &allocator{limit: m.limit}
	withMemory := experimental.WithMemoryAllocator(ctx, memory)
	module, err := m.runtime.InstantiateModule(withMemory, m.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return nil, crashed(err)
	}
	functions, err := bind(module)
	if err != nil {
		_ = module.Close(ctx)
		return nil, err
	}
	instance := &Instance{module: module, memory: module.Memory(), growth: memory, abi: functions}
	if err := instance.arena.open(ctx, instance); err != nil {
		_ = module.Close(ctx)
		return nil, err
	}
	return instance, nil
}

// firstLine leaves out the stack trace of the guest that wazero appends.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

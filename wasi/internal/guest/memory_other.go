//go:build !unix && !windows

// No way to reserve address space: memory is copied when it grows.

package guest

import (
	"errors"

	"github.com/tetratelabs/wazero/experimental"
)

func reserve(uint64) (experimental.LinearMemory, error) { return nil, errors.ErrUnsupported }

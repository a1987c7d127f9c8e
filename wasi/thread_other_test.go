//go:build !linux

package pockettts

import "time"

var started = time.Now()

func threadTime() time.Duration { return time.Since(started) }

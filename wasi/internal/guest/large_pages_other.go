//go:build unix && !linux

package guest

// largePages does nothing: these systems choose by themselves.
func largePages([]byte) {}

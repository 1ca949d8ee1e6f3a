//go:build !linux

package memory

// unmapProgram does nothing where it is not known how.
func unmapProgram() (uint64, error) { return 0, nil }

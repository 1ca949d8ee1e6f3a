package helm

// Confine is what Serve does first.
func Confine() error { return confine() }

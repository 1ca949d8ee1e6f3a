package render

import (
	"time"
)

// Limits bound one rendering. A zero field means its default.
type Limits struct {
	// Files that are read. A file that kustomize reads twice counts twice, which bounds kustomizations that include
	// one another in diamonds. Default 5,000.
	Files int
	// FileBytes is the size of one file. Default 8 MiB.
	FileBytes int64
	// Bytes is the size of all files, each read counted. Default 16 MiB.
	Bytes int64
	// Objects that are rendered. Default 10,000.
	Objects int
	// Depth is the nesting of one document. Default 1,000.
	Depth int
	// Expanded is the number of YAML nodes of one file after aliases were replaced by what they stand for.
	// Default 1,000,000.
	Expanded int
	// Timeout is the time rendering may take. Default 30 s.
	Timeout time.Duration
}

// withDefaults returns l with every zero field set.
func (l Limits) withDefaults() Limits {
	if l.Files == 0 {
		l.Files = 5_000
	}
	if l.FileBytes == 0 {
		l.FileBytes = 8 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	if l.Objects == 0 {
		l.Objects = 10_000
	}
	if l.Depth == 0 {
		l.Depth = 1_000
	}
	if l.Expanded == 0 {
		l.Expanded = 1_000_000
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	return l
}

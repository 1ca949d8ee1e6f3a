package memory

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mapsFile lists what this process has mapped (proc_pid_maps(5)).
const mapsFile = "/proc/self/maps"

// unmapProgram lets go of the pages of the program itself that are mapped: its code and constants, as the file has
// them. The start of a large program walks through nearly all of it and rest needs a fraction; what is needed is mapped
// again when it is used, from the page cache and many pages at a time. Until then those pages are charged to the
// process. It returns the bytes whose mapping was let go; an error leaves everything as it was, or let go in part.
func unmapProgram() (uint64, error) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, fmt.Errorf("find the program: %w", err)
	}
	f, err := os.Open(mapsFile)
	if err != nil {
		return 0, fmt.Errorf("read what is mapped: %w", err)
	}
	defer f.Close()
	var total uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m, ok := parseMapping(lines.Text())
		if !ok || m.path != program || strings.Contains(m.rights, "w") || !strings.HasSuffix(m.rights, "p") {
			continue
		}
		// MADV_DONTNEED on a private mapping of a file that cannot be written to loses nothing (madvise(2)).
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); e != 0 {
			return total, fmt.Errorf("let go of %s: %w", m.path, e)
		}
		total += uint64(m.end - m.start)
	}
	return total, nil
}

// mapping is a line of mapsFile.
type mapping struct {
	start, end   uintptr
	rights, path string
}

// parseMapping reads a line such as "00400000-0352c000 r-xp 00000000 fe:00 1087159 /usr/bin/waybilld". ok is false for
// what is no file.
func parseMapping(line string) (m mapping, ok bool) {
	var fields [5]string // addresses, rights, offset, device, inode; the rest is the path
	rest := line
	for i := range fields {
		fields[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	if n, err := fmt.Sscanf(fields[0], "%x-%x", &m.start, &m.end); n != 2 || err != nil || m.end <= m.start {
		return m, false
	}
	m.rights, m.path = fields[1], strings.TrimLeft(rest, " ")
	return m, strings.HasPrefix(m.path, "/")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/internal/freeaddr"
)

// ticksPerSecond is the unit of CPU time in /proc: USER_HZ, 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// child is the waybilld that is measured.
type child struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	metrics string // host:port
	pprof   string // host:port
	log     *os.File
	// command starts it.
	command []string
}

// startChild starts binary with its default settings.
func startChild(binary, kubeconfig, dir string, log *os.File) (*child, error) {
	addresses, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	c := &child{metrics: addresses[1], pprof: addresses[2], log: log}
	c.command = []string{
		binary, "--kubeconfig", kubeconfig, "--listen", addresses[0], "--data", dir,
		"--system-namespace", systemNamespace, "--allow-http", "--allow-loopback",
		"--metrics-listen", c.metrics, "--pprof-listen", c.pprof,
	}
	return c, c.start()
}

// again ends the child if it runs, and starts it as before.
func (c *child) again() error {
	c.stop()
	return c.start()
}

func (c *child) start() error {
	c.cmd = exec.Command(c.command[0], c.command[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = endWithParent()
	c.exited = make(chan struct{})
	cmd, exited, started := c.cmd, c.exited, make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(c.command[0]), err)
	}
	return nil
}

// freeAddresses returns n loopback addresses nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var out []string
	for range n {
		address, err := freeaddr.Loopback()
		if err != nil {
			return nil, err
		}
		out = append(out, address)
	}
	return out, nil
}

// stop asks the child to end, and ends it when it does not.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(15 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// isRunning returns an error once the child has ended.
func (c *child) isRunning() error {
	select {
	case <-c.exited:
		return fmt.Errorf("waybilld has ended; its log is %s", c.log.Name())
	default:
		return nil
	}
}

// cpu returns the CPU time the child has used, user and system.
func (c *child) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseStat(string(raw))
}

// parseStat returns utime + stime, fields 14 and 15 of proc(5)'s stat. The name
// in the second field may hold spaces; it ends with the last parenthesis.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, errors.New("read CPU time: too few fields")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// addMemory adds to the report what the child holds, and how much of that is its own:
// the rest are pages of its file, which the kernel may drop at any time, since it can
// read them again.
func (b *bench) addMemory(whole, own string) error {
	for key, field := range map[string]string{whole: "VmRSS", own: "RssAnon"} {
		mib, err := b.child.memory(field)
		if err != nil {
			return err
		}
		b.report.add(key, mib)
	}
	return nil
}

// forgetPeak begins a new peak of resident memory (VmHWM), where the kernel can.
func (c *child) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.cmd.Process.Pid), []byte("5"), 0o200)
}

// memory returns a line of the child's status in MiB: VmRSS is what it holds, VmHWM
// the most since forgetPeak.
func (c *child) memory(field string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				return 0, fmt.Errorf("read memory: %w", err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("read memory: no %s", field)
}

// get reads a page of one of the child's listeners.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// profile writes a profile of the child into a file.
func (c *child) profile(ctx context.Context, query, file string) error {
	raw, err := get(ctx, "http://"+c.pprof+"/debug/pprof/"+query)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return os.WriteFile(file, raw, 0o644)
}

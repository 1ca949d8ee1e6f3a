// Package prometheus runs a real Prometheus for tests.
package prometheus

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/freeaddr"
)

// Start runs Debian's Prometheus, or what WAYBILL_PROMETHEUS names, on loopback until the test ends. It scrapes
// /metrics of target, a host with its port, ten times a second. It returns the address to ask; whether it is ready,
// and has scraped, is for the caller to wait for.
func Start(t *testing.T, target string) (address string) {
	t.Helper()
	binary := os.Getenv("WAYBILL_PROMETHEUS")
	if binary == "" {
		binary = "/usr/bin/prometheus"
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: tools/needs.sh installs it", err)
	}
	dir := t.TempDir()
	config := "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\nscrape_configs:\n- job_name: app\n  static_configs: [{targets: ['" + target + "']}]\n"
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeaddr.For(t)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen, "--log.level=error")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + listen
}

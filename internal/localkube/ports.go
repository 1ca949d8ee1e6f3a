package localkube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/waybill-dev/waybill/internal/freeaddr"
)

const loopback = "127.0.0.1"

// choosePorts fills in the ports that are not fixed: the remembered ones while they are free, else any.
func choosePorts(fixed, remembered Ports) (Ports, error) {
	api, err := choosePort("kube-apiserver", fixed.API, remembered.API)
	if err != nil {
		return Ports{}, err
	}
	// Held until the second is chosen, so that they differ.
	defer api.Close() //nolint:errcheck // only held the port
	etcd, err := choosePort("etcd", fixed.Etcd, remembered.Etcd)
	if err != nil {
		return Ports{}, err
	}
	defer etcd.Close() //nolint:errcheck // only held the port
	return Ports{API: portOf(api), Etcd: portOf(etcd)}, nil
}

func choosePort(process string, fixed, remembered int) (net.Listener, error) {
	if fixed != 0 {
		l, err := listen(fixed)
		if err != nil {
			return nil, fmt.Errorf("port %d for %s is taken by another program: %w", fixed, process, err)
		}
		return l, nil
	}
	if remembered != 0 {
		if l, err := listen(remembered); err == nil {
			return l, nil
		}
	}
	address, err := freeaddr.Loopback()
	if err != nil {
		return nil, fmt.Errorf("find a free port for %s: %w", process, err)
	}
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("hold a free port for %s: %w", process, err)
	}
	return l, nil
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
}

func portOf(l net.Listener) int {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return addr.Port
}

// isTaken reports whether somebody listens on a port of this machine.
func isTaken(port int) bool {
	l, err := listen(port)
	if err != nil {
		return true
	}
	return l.Close() != nil
}

func portsFile(dataDir string) string { return filepath.Join(dataDir, "ports.json") }

// rememberedPorts returns the ports of the last start; zero when there was none, or when what it wrote is unreadable.
func rememberedPorts(dataDir string) (Ports, error) {
	data, err := os.ReadFile(portsFile(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return Ports{}, nil
	}
	if err != nil {
		return Ports{}, err
	}
	var p Ports
	if json.Unmarshal(data, &p) != nil {
		return Ports{}, nil //nolint:nilerr // ports are picked anew, as when there is no file
	}
	return p, nil
}

func rememberPorts(dataDir string, p Ports) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeFile(portsFile(dataDir), append(data, '\n'), 0o600)
}

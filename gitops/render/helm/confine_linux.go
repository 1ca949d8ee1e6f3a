package helm

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	memoryLimit    = 512 << 20
	processorLimit = 600 // seconds, of all renders of one worker together
	fileLimit      = 16  // descriptors; standard streams and the runtime's own
)

// confine takes from the process what rendering does not need. It cannot be
// undone.
func confine() error {
	os.Clearenv()
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_DATA: memoryLimit, unix.RLIMIT_CPU: processorLimit, unix.RLIMIT_NOFILE: fileLimit,
		unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("set limit %d: %w", resource, err)
		}
	}
	return refuseSockets()
}

// Words of classic BPF and of seccomp_data (linux/filter.h, linux/seccomp.h,
// linux/audit.h).
const (
	loadWord    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jumpIfEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpIfAbove = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	giveBack    = unix.BPF_RET | unix.BPF_K

	offsetNumber = 0
	offsetArch   = 4

	auditAMD64 = 0xC000003E
	auditARM64 = 0xC00000B7
	x32Bit     = 0x40000000
)

// refuseSockets installs a seccomp filter for all threads: system calls that make
// or use a socket, start a program, watch another process or load code into the
// kernel fail with EPERM; those of another architecture end the process.
func refuseSockets() error {
	arch := uint32(auditAMD64)
	switch runtime.GOARCH {
	case "amd64":
	case "arm64":
		arch = auditARM64
	default:
		return nil // the limits above hold everywhere
	}
	refused := []uint32{
		unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_BIND, unix.SYS_LISTEN,
		unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
		unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_BPF, unix.SYS_IO_URING_SETUP,
		unix.SYS_MOUNT, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT,
	}
	statement := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	program := []unix.SockFilter{
		statement(loadWord, offsetArch),
		{Code: jumpIfEqual, Jt: 1, Jf: 0, K: arch},
		statement(giveBack, unix.SECCOMP_RET_KILL_PROCESS),
		statement(loadWord, offsetNumber),
		{Code: jumpIfAbove, Jt: 0, Jf: 1, K: x32Bit},
		statement(giveBack, unix.SECCOMP_RET_KILL_PROCESS),
	}
	for _, number := range refused {
		program = append(program,
			unix.SockFilter{Code: jumpIfEqual, Jt: 0, Jf: 1, K: number},
			statement(giveBack, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))
	}
	program = append(program, statement(giveBack, unix.SECCOMP_RET_ALLOW))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]} //nolint:gosec // a few dozen
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter))); errno != 0 { //nolint:gosec // the call takes a pointer
		return fmt.Errorf("install the seccomp filter: %w", errno)
	}
	runtime.KeepAlive(program)
	return nil
}

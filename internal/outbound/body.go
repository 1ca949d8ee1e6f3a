package outbound

import (
	"fmt"
	"io"
	"net/http"
)

// ReadAll reads r to its end, or returns ErrTooLarge when it is longer than
// maxBytes. It never holds more than maxBytes + 1 bytes of content.
func ReadAll(r io.Reader, maxBytes int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > maxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
	}
	return b, nil
}

// LimitBody makes reads of resp.Body return ErrTooLarge after maxBytes, for a
// body that is handed to a library. A declared length over the limit is refused
// at the first read.
func LimitBody(resp *http.Response, maxBytes int64) {
	left := maxBytes
	if resp.ContentLength > maxBytes {
		left = -1
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: left, max: maxBytes}
}

type limitedBody struct {
	io.ReadCloser
	left, max int64 // bytes still accepted; -1 once exceeded
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, b.max)
	}
	// One byte more than allowed is read to tell "exactly max" from "more".
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		b.left = -1
		return n, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, b.max)
	}
	b.left -= int64(n)
	return n, err
}

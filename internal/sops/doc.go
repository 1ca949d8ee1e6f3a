// Package sops reads files that were encrypted by SOPS (getsops.io), with age and
// OpenPGP keys: YAML, JSON, dotenv and binary ones.
//
// It is a reader of the format only: the SOPS library links the SDKs of every
// cloud's key service, which would make the server a third larger. A file holds its
// data key, encrypted for each recipient; values are AES-256-GCM with the path of
// the value as additional data; a MAC over all values, in order, is encrypted the
// same way. Nothing is returned of a file whose MAC is not right.
//
// The package is pure: bytes in, bytes out. No error says what a value is.
package sops

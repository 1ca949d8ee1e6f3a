// Package signature decides whether an image was signed with cosign by whom a
// subscription names. It sends nothing and reads no clock: what registries keep
// beside an image is given to it, and the time that counts for a certificate is
// the one that a trusted log vouches for.
//
//	Evidence --Verify--> nil, or *Error with the reason that came closest
//
// Both forms that cosign writes are read: its own (a tag sha256-DIGEST.sig with
// the payload "simple signing") and Sigstore bundles that refer to the image. Of
// bundles, only those count that say the image was signed
// (https://sigstore.dev/cosign/sign/v1): an attestation says something else about
// it, and not always something good.
//
// With a key, the key is all that is trusted. Keyless, a signature needs a
// certificate of an authority in the trusted root for the identity, with the proof
// of a certificate log if the root names one, an entry in a log of the root that
// belongs to this signature, and a trusted time within the certificate's validity.
package signature

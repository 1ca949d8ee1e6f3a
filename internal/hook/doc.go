// Package hook reads what Git servers and registries send when something was
// pushed. It is pure.
//
// A message is verified before it is read: where the sender can sign, the
// signature is mandatory; where it cannot, the path of the receiver, which
// nobody can guess, is the proof. What a message says is never believed: it
// names repositories, those are polled, and the poll finds out what is true.
//
//	bytes -> Receiver.Read -> Event: repositories -> Key -> subscriptions with the same key
package hook

// Package notify says what the notifications of a Project tell: which occurrences an
// object shows, who wants to know of them, and in which words.
//
//	object as it is --Of...--> occurrences --Wants--> Compose --> one row of the outbox
//
// An occurrence is read from what an object says of itself, each time the same with
// the same Key: after a crash it is found again, and its Key says that it is known.
// What goes up and down, such as health, has a Topic: people are told when it turns
// bad and when it is well again, never the same twice in a row.
//
// The package is pure; package controllers keeps the outbox and sends it by package
// promotion/message.
package notify

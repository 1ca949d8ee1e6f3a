// Package safety attacks Waybill: with the rights of people who have some, with
// the objects and repositories they may write, and with servers that lie. Each
// test is a promise of the product that somebody tries to break.
package safety

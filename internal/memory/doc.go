// Package memory gives back to the operating system what a burst of work took.
//
// Go keeps the memory of a peak for the next one, and returns it slowly, while
// the heap that lives may be a third of it. A server that syncs a thousand
// Applications in a minute and then rests for hours is charged for the peak all
// that time. Keeper looks every few seconds; when the program allocates next to
// nothing, and much is held that does not live, it collects once and returns the
// rest. While there is work it does nothing.
//
// With the heap it lets go of the mapped pages of the program itself, where that
// is Linux: of 85 MiB that the start of waybilld walks through, rest needs a third.
package memory

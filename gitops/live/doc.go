// Package live looks, when somebody asks, at what an Application has in its
// cluster: the tree of objects, their events, what their containers write, and
// how they differ from what Git says.
//
// It reads with the server's account, so it shows nothing beyond the Application:
// objects of its inventory, what those own by owner references, and events about
// both. Kinds whose content may be secret are read by their metadata only, and
// differences are masked (gitops.Compare). Whether somebody may ask is decided
// before, by the API.
//
// Nothing is kept between two questions, and every answer is bounded.
package live

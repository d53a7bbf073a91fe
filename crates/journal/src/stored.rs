//! Stored shapes of events: versioned, apart from the domain's, readable for ever.

"""Pages, OpenRosa and JSON over HTTP. Thin: unwrap, call one function, wrap."""

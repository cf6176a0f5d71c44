"""Pages: thin routes that unwrap, ask, and hand values to a template. One file a family of pages."""

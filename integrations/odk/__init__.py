"""OpenRosa as ODK Collect speaks it: wire text, digest, submissions."""

//! Official client libraries, unmodified.

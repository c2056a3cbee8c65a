//! The gRPC interface of xlfsd.

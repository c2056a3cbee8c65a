//! The gRPC services, one file each, and the Unix socket they are served on.
//!
//! A service only translates: from messages to calls of the rooms beside it,
//! and from what they answer, or their [`Problem`](crate::problem::Problem)s,
//! to messages.

mod status;

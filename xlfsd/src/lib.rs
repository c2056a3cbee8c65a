//! The xlfs daemon.

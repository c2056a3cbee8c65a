//! The gRPC interface of xlfsd: messages, clients and servers, made from
//! `proto/xlfs/v1/*.proto`, where every message and field is documented.

/// Version 1 of the interface. Fields and calls are added to it, never changed.
pub mod v1 {
    // Generated code follows its generator's taste.
    #![allow(missing_debug_implementations, unreachable_pub, unused_qualifications, clippy::all)]
    tonic::include_proto!("xlfs.v1");
}

/// The encoded `FileDescriptorSet` of [`v1`], for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Where xlfsd listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/xlfsd/xlfsd.sock";

/// The `domain` of every `google.rpc.ErrorInfo` that xlfsd sends.
pub const ERROR_DOMAIN: &str = "xlfs";
